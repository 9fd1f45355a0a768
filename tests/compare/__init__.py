"""Rivals compared: the readings, the statistics behind them, and how they print."""

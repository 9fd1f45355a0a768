"""The pytest plugin, run by pytest's own pytester on projects made for the purpose."""

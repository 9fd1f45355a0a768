"""The static checks, one rule a module."""

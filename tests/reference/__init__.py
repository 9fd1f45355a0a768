"""An independent, slow and obvious implementation of every intervention, to check the package by.

It imports nothing from the package and shares no code with it.
"""

"""The engine against the slow reference, and against itself.

Everything here asks an executor through the public records of `engine/runs.py` alone, and gets it
from the fixture `make_engine`: another executor is held to the same oracle by being listed in
`executors.py`.
"""

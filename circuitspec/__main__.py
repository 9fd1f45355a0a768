"""`python -m circuitspec`: the command line."""

from circuitspec.cli import main

if __name__ == "__main__":
    main()

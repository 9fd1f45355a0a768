"""The documentation: its site builds, and its commands do what it says."""

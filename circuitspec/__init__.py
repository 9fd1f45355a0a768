"""circuitspec: hypotheses about circuits in transformers, written down and verified."""

__version__ = "0.1.0"

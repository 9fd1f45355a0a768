"""circuitspec from Python."""

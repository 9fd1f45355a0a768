"""What is being explained: loading, weights by architecture, the packaged models."""

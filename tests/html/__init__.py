"""The HTML report: well formed, self-contained, readable, and true to what was measured."""

"""The report as one HTML file: no script, nothing from the network, for light and dark."""

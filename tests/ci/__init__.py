"""What other programs read of us: the action, the hooks, SARIF."""

"""The circuit figure: what a hypothesis says, placed by token position and layer, and drawn."""

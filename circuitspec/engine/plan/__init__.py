"""What is to be computed, worked out before anything is: the graph of instances and its passes."""

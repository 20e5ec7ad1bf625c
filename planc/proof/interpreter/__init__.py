"""The abstract interpreter: it follows the graph, operation by operation and call by call."""

"""Small modules of their own, for what no shipped family does."""

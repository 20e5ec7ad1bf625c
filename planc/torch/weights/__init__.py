"""Weights of a model: read from files, or initialised as the unsplit model would be."""

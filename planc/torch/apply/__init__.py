"""Applies a lowered plan to a module: parameters become DTensors, computation stays local."""

"""Proved plan -> instructions for each module, as data: whatever applies a plan reads these alone."""

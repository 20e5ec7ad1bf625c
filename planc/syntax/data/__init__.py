"""The data form of a plan: JSON, YAML and Python."""

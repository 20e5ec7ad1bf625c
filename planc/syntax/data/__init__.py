"""The data form of a plan: JSON, YAML, Python, and the JSON Schema."""

"""A resolved plan bound to the modules of a model. Patterns are matched here, and nowhere else."""

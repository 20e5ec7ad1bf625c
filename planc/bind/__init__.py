"""Settled plan x graph -> what each module is told: patterns are matched here, and nowhere else."""

"""Numerical verification: a model under a plan against the same model unsplit."""

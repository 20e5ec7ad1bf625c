"""The second judge: a model under a plan against the same model unsplit, by numbers."""

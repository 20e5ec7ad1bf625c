"""A step of training on a model that is split, or partly split: no trainer is known here."""

"""Regions of the model that run a second time in the backward pass: whether the second run does what the first did."""

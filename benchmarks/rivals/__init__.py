"""The rivals of `benchmarks/gpu.py`: the same model and data, split by different programs."""

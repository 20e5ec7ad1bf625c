"""The sides of `benchmarks/gpu.py`: one model, one data, and several ways to split it."""

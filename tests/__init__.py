"""A regular package, so that none of this name elsewhere is taken for it: benchmarks/gpu_goldens.py needs tests.parity."""

"""Benchmarks: each file's docstring shows its command; raw results are appended to results/."""

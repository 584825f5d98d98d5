"""Measurements, and what measures: each file says how it is called; raw lines go to results/."""

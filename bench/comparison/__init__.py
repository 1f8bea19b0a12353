"""Runs held against each other: what of their work is the same, and whether one is faster. Needs no JAX."""

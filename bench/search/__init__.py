"""Samplers: who hands out the next trial. Every kind answers to one interface, `Sampler`."""

from bench.search.corners import corners
from bench.search.fixed import Fixed, grid_trials, random_trials
from bench.search.sampler import Sampler, create

__all__ = ["Fixed", "Sampler", "corners", "create", "grid_trials", "random_trials"]

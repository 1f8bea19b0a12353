"""Kernels of our own in C++, and how they come to be a library. Imports no JAX."""

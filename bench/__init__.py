"""Convoy: trains a whole sweep of small CNNs as one XLA program."""

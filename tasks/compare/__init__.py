"""Comparison of two published runs: reading them, registering their structures, writing what has changed."""

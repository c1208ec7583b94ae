"""Tile geometry, the memory model and the predictor."""

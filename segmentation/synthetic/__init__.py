"""Damage of known size, painted: training crops, test fixtures and the demo survey from one generator.

Pixel coordinates are (row, col) at pixel corners: (0.5, 0.5) is the centre of the first pixel.
"""

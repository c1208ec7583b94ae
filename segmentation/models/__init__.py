"""Nets, their geometry, and weights that travel with a card."""

"""Training and scoring of the nets: data sets, losses, the loop, metrics."""

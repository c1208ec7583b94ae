"""What the process that inspections are forked from has loaded: all libraries of a run, and the weights."""

import torch

import flows.inspection
import tests.scorecard.inputs  # noqa: F401
from segmentation.models.registry import load_model

torch.set_num_threads(1)
load_model("spanscan-unet")
assert flows.inspection

"""What a forward pass really allocates, as torch's profiler sees it."""

import torch
from torch.profiler import ProfilerActivity, profile

from segmentation.models.net import Net


def measured_peak_values(net: Net, side_px: int) -> float:
    """Most float32 values alive at once in a second pass over a square window, the image included."""
    image = torch.rand(1, net.in_channels, side_px, side_px)
    with torch.inference_mode():
        net(image)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
            net(image)
    alive = peak = 0
    for event in run.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    return peak / 4 + image.numel()

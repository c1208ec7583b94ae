"""The net's geometry is what its layers say, and what its outputs show."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from segmentation.models.geometry import net_geometry, receptive_field_radius_px
from segmentation.models.unet import UNet, fold_batch_norm


def _random_net(**kwargs: int) -> UNet:
    torch.manual_seed(3)
    net = UNet(**kwargs).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, 0.1, 0.5)
    return net.requires_grad_(False)


def test_the_shipped_architecture_stays_within_its_budget() -> None:
    geometry = net_geometry(UNet(in_channels=3, classes=3, base_channels=16, depth=4))
    assert geometry.parameters == 1_942_611
    assert 2 * geometry.multiply_adds_per_px * 1e6 < 100e9
    assert (geometry.alignment_px, geometry.halo_px) == (16, 112)


def test_multiply_adds_of_a_net_of_one_level_are_those_counted_by_hand() -> None:
    # full size: 3·5·9 + 5·5·9 down, 10·5·9 + 5·5·9 up, head 5·7; quarter size: 5·10·9 + 10·10·9, up 10·5·4
    by_hand = 135 + 225 + 450 + 225 + 35 + (450 + 900 + 200) / 4
    net = UNet(in_channels=3, classes=7, base_channels=5, depth=1)
    assert net_geometry(net).multiply_adds_per_px == by_hand


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_pixel_beyond_the_radius_matters_and_one_at_the_radius_does(depth: int) -> None:
    net = _random_net(base_channels=3, depth=depth).double()
    for parameter in net.parameters():
        parameter.abs_()  # nothing cancels and no ReLU cuts a path: what can be reached is reached
    radius_px, step = receptive_field_radius_px(net), net.alignment_px
    side_px = -(-(2 * radius_px + 2 * step) // step) * step
    middle = side_px // 2 // step * step
    reached = 0
    for phase in range(step):
        image = torch.rand(1, 3, side_px, side_px, dtype=torch.float64, requires_grad=True)
        row = middle + phase
        gradient = torch.autograd.grad(net(image)[0, :, row, row].sum(), image)[0].abs().sum((0, 1))
        seen = gradient.nonzero()
        reached = max(reached, int((seen - row).abs().max()))
    # a max-pool passes the gradient of one of its four inputs, so the very edge may be missed by one cell
    assert radius_px - step < reached <= radius_px


def test_a_change_of_one_pixel_alters_nothing_beyond_the_radius() -> None:
    net = _random_net(base_channels=4, depth=4)
    radius_px, side_px = receptive_field_radius_px(net), 480
    image = torch.rand(1, 3, side_px, side_px)
    changed = image.clone()
    changed[..., 240, 240] += 100.0
    rows = (net(image) != net(changed)).any(1)[0].nonzero()
    assert int((rows - 240).abs().max()) <= radius_px


@pytest.mark.parametrize(("height", "width"), [(40, 32), (32, 8), (31, 32)])
def test_a_size_that_is_not_aligned_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"multiples of 16, got {height}×{width}"):
        UNet(base_channels=2)(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize("name", ["in_channels", "classes", "base_channels", "depth"])
def test_a_size_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must lie in .* got 0"):
        UNet(**{name: 0})


def test_folding_batch_norm_leaves_the_logits_as_they_were() -> None:
    net = _random_net(base_channels=8, depth=4)
    image = torch.randn(1, 3, 64, 96)
    folded = fold_batch_norm(net)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert torch.allclose(folded(image), net(image), atol=1e-4, rtol=1e-4)
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())


def _measured_peak_values_per_px(net: UNet, side_px: int) -> float:
    image = torch.rand(1, 3, side_px, side_px)
    with torch.inference_mode():
        net(image)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
            net(image)
    alive = peak = 0
    for event in run.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    return peak / 4 / side_px**2


@pytest.mark.parametrize(("base_channels", "depth"), [(16, 4), (8, 2), (7, 1)])
def test_the_activation_model_covers_what_a_forward_pass_allocates(base_channels: int, depth: int) -> None:
    net = _random_net(base_channels=base_channels, depth=depth)
    projected = net_geometry(net).peak_activation_values_per_px
    measured = _measured_peak_values_per_px(net, 256)
    assert 0.5 * projected < measured <= projected

"""The family: what can be chosen, what is refused, and what each choice does to the logits."""

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from segmentation.models.geometry import net_geometry
from segmentation.models.net import fold_batch_norm
from segmentation.models.unet import UNet
from tests.segmentation.models.nets import BOUNDED, UNBOUNDED, Kind, random_net


def _window_px(net: UNet) -> int:
    return net_geometry(net).valid_window_px(2 * net.margin_px + 24)


@pytest.mark.parametrize("kind", BOUNDED + UNBOUNDED, ids=lambda k: k.name)
def test_logits_lose_the_margin_on_each_side_and_nothing_else(kind: Kind) -> None:
    net = random_net(in_channels=2, classes=5, base_channels=2, **kind.arguments)
    rows, cols = _window_px(net), _window_px(net) + net.alignment_px
    logits = net(torch.rand(2, 2, rows, cols))
    assert logits.shape == (2, 5, rows - 2 * net.margin_px, cols - 2 * net.margin_px)
    assert (net.margin_px == 0) == kind.arguments.get("padded", True)


_arguments = st.fixed_dictionaries(
    {
        "depth": st.integers(1, 4),
        "fold_px": st.sampled_from([1, 2]),
        "padded": st.booleans(),
        "up_sampling": st.sampled_from(["transposed", "nearest"]),
        "separable": st.booleans(),
    }
)


@settings(max_examples=10, deadline=None)
@given(arguments=_arguments, at_least_px=st.integers(1, 700))
@example(arguments={"depth": 5, "fold_px": 2, "padded": False}, at_least_px=1)
def test_a_window_is_valid_if_and_only_if_the_residue_is_the_nets(arguments: dict[str, Any], at_least_px: int) -> None:
    with torch.device("meta"):
        net = UNet(in_channels=1, classes=2, base_channels=1, normalisation="none", **arguments)
    side_px = net_geometry(net).valid_window_px(at_least_px)
    assert at_least_px <= side_px
    assert side_px - net.alignment_px < max(at_least_px, 2 * net.margin_px + 1)
    logits = net(torch.empty(1, 1, side_px, side_px, device="meta"))
    assert logits.shape[2:] == (side_px - 2 * net.margin_px,) * 2
    with pytest.raises(ValueError, match="must be multiples of"):
        net(torch.empty(1, 1, side_px, side_px + 1, device="meta"))


@pytest.mark.parametrize("kind", [k for k in BOUNDED if "valid" in k.name], ids=lambda k: k.name)
def test_a_valid_net_gives_in_every_aligned_window_what_it_gives_in_a_larger_one(kind: Kind) -> None:
    net = random_net(base_channels=3, **kind.arguments).double()
    small, step, margin = _window_px(net), net.alignment_px, net.margin_px
    image = torch.rand(1, 3, small + 2 * step, small + 3 * step, dtype=torch.float64)
    whole = net(image)
    out = small - 2 * margin
    for row, col in ((0, 0), (step, 0), (step, 3 * step), (2 * step, step)):
        tile = net(image[..., row : row + small, col : col + small].contiguous())
        assert torch.allclose(tile, whole[..., row : row + out, col : col + out], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(40, 32), (32, 8), (31, 32), (0, 16)])
def test_a_size_that_is_not_aligned_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"multiples of 16.*got {height}×{width}"):
        UNet(base_channels=2)(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize(("height", "width"), [(572, 576), (570, 572), (172, 572)])
def test_a_window_that_a_valid_net_cannot_take_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"multiples of 16 plus 12 and exceed 184, got {height}×{width}"):
        UNet(base_channels=2, padded=False)(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("in_channels", 0, r"in_channels must lie in \[1, 64\] and be whole, got 0"),
        ("classes", 0, "classes must lie in .* got 0"),
        ("base_channels", 513, r"base_channels must lie in \[1, 512\].* got 513"),
        ("depth", 2.0, "depth must lie in .* be whole, got 2.0"),
        ("depth", True, "depth must lie in .* be whole, got True"),
        ("fold_px", 3, "fold_px must be one of 1, 2, got 3"),
        ("fold_px", True, "fold_px must be one of 1, 2, got True"),
        ("padded", 1, "padded must be one of True, False, got 1"),
        ("normalisation", "layer", "normalisation must be one of batch, group, instance, none, got 'layer'"),
        ("up_sampling", "bicubic", "up_sampling must be one of transposed, nearest, bilinear, got 'bicubic'"),
        ("separable", "yes", "separable must be one of True, False, got 'yes'"),
        ("dropout", 1.0, r"dropout must lie in \[0, 1\), got 1.0"),
    ],
)
def test_an_argument_that_cannot_be_is_refused_by_name(name: str, value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        UNet(**{name: value})


def test_the_names_of_the_weights_are_those_of_the_weights_that_are_out_in_the_world() -> None:
    names = {name for name in UNet(base_channels=2, depth=1).state_dict() if "num_batches" not in name}
    norm = ("weight", "bias", "running_mean", "running_var")
    blocks = ("encoder.0", "bottom", "decoder.0")
    assert names == {
        *(f"{b}.{i}.weight" for b in blocks for i in (0, 3)),
        *(f"{b}.{i}.{n}" for b in blocks for i in (1, 4) for n in norm),
        *(f"{layer}.{n}" for layer in ("ups.0", "head") for n in ("weight", "bias")),
    }
    assert (
        UNet(base_channels=2, depth=1, fold_px=2).state_dict().keys()
        == UNet(base_channels=2, depth=1).state_dict().keys()
    )


def test_a_folded_net_reads_and_writes_each_pixel_of_a_cell_by_its_own_channel() -> None:
    net = random_net(in_channels=1, classes=2, base_channels=2, depth=1, fold_px=2)
    assert net.encoder[0][0].in_channels == 4
    net.head.weight.zero_()
    net.head.bias.copy_(torch.arange(8.0))
    logits = net(torch.rand(1, 1, 8, 8))[0]
    for pixel_class in range(2):
        for row in range(2):
            for col in range(2):
                assert (logits[pixel_class, row::2, col::2] == 4 * pixel_class + 2 * row + col).all()


def test_the_net_in_training_for_speed_is_the_one_that_was_reckoned() -> None:
    geometry = net_geometry(UNet(base_channels=32, depth=3, fold_px=2))
    assert geometry.parameters == 1_929_964
    assert round(2 * geometry.multiply_adds_per_px / 1e3, 1) == 71.8
    assert (geometry.alignment_px, geometry.receptive_field_radius_px, geometry.halo_px) == (16, 103, 112)


def test_dropout_acts_in_training_only() -> None:
    image = torch.rand(1, 3, 16, 16)
    net = random_net(base_channels=4, depth=2, dropout=0.5)
    assert torch.equal(net(image), net(image))
    assert net.state_dict().keys() == random_net(base_channels=4, depth=2).state_dict().keys()
    net.train()
    assert not torch.equal(net(image), net(image))


@pytest.mark.parametrize("kind", BOUNDED, ids=lambda k: k.name)
def test_folding_batch_norm_leaves_the_logits_as_they_were(kind: Kind) -> None:
    net = random_net(base_channels=8, **kind.arguments)
    image = torch.randn(1, 3, _window_px(net), _window_px(net))
    before = net(image)
    folded = fold_batch_norm(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert torch.allclose(folded(image), before, atol=1e-4, rtol=1e-4)
    assert torch.equal(net(image), before)


def test_a_net_without_batch_norm_is_its_own_folded_form() -> None:
    net = random_net(base_channels=2, depth=1, normalisation="group")
    assert fold_batch_norm(net) is net


def test_batch_norm_that_does_not_follow_a_convolution_is_left_in_place() -> None:
    net = random_net(base_channels=2, depth=1)
    net.bottom = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()).eval()
    nn.init.constant_(net.bottom[0].weight, 3.0)
    image = torch.rand(1, 3, 8, 8)
    folded = fold_batch_norm(net)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == 1
    assert torch.allclose(folded(image), net(image), atol=1e-5)

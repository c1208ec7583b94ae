"""The facts of figure 1 of the paper: every map's size and channels, 31.0 M parameters, the 388/572 tile."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segmentation.inference.geometry import TileGeometry, mirrored
from segmentation.inference.predictor import tile_geometry
from segmentation.models.geometry import multiply_adds, net_geometry
from segmentation.models.unet_2015 import UNet2015

_FIGURE_1 = [
    # (layer, channels, side) along the U, as printed in the paper
    ("encoder.0.0", 64, 570), ("encoder.0.2", 64, 568),
    ("encoder.1.0", 128, 282), ("encoder.1.2", 128, 280),
    ("encoder.2.0", 256, 138), ("encoder.2.2", 256, 136),
    ("encoder.3.0", 512, 66), ("encoder.3.2", 512, 64),
    ("bottom.0", 1024, 30), ("bottom.2", 1024, 28),
    ("ups.0", 512, 56), ("decoder.0.0", 512, 54), ("decoder.0.2", 512, 52),
    ("ups.1", 256, 104), ("decoder.1.0", 256, 102), ("decoder.1.2", 256, 100),
    ("ups.2", 128, 200), ("decoder.2.0", 128, 198), ("decoder.2.2", 128, 196),
    ("ups.3", 64, 392), ("decoder.3.0", 64, 390), ("decoder.3.2", 64, 388),
    ("head", 2, 388),
]  # fmt: skip
_JOINED = {"decoder.0": 1024, "decoder.1": 512, "decoder.2": 256, "decoder.3": 128}
_POOLED_PX = [284, 140, 68, 32]


@contextmanager
def _shapes(net: nn.Module) -> Iterator[dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]]:
    """(shape of the input, shape of the output) of each call of each layer, by name."""
    seen: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {}

    def watch(name: str, inputs: Tensor, output: Tensor) -> None:
        seen.setdefault(name, []).append((tuple(inputs.shape[1:]), tuple(output.shape[1:])))

    hooks = [
        layer.register_forward_hook(lambda _, i, o, name=name: watch(name, i[0], o))
        for name, layer in net.named_modules()
        if name
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def _published(up_sampling: str = "transposed") -> UNet2015:
    with torch.device("meta"):
        return UNet2015(up_sampling=up_sampling).eval()


@pytest.mark.parametrize("up_sampling", ["transposed", "nearest"])
def test_every_level_has_the_size_and_the_channels_of_the_figure(up_sampling: str) -> None:
    net = _published(up_sampling)
    with _shapes(net) as seen, torch.no_grad():
        logits = net(torch.empty(1, 1, 572, 572, device="meta"))
    assert tuple(logits.shape) == (1, 2, 388, 388)
    assert {name: seen[name][0][1] for name, _, _ in _FIGURE_1} == {n: (c, s, s) for n, c, s in _FIGURE_1}
    assert {name: seen[name][0][0][0] for name in _JOINED} == _JOINED
    assert [output[1] for _, output in seen["pool"]] == _POOLED_PX


def test_it_has_the_31_million_parameters_of_the_paper() -> None:
    pairs = [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    pairs += [(512, 1024), (1024, 1024)]
    pairs += [(1024, 512), (512, 512), (512, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64)]
    ups = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    by_hand = sum(9 * a * b + b for a, b in pairs) + sum(4 * a * b + b for a, b in ups) + 64 * 2 + 2
    assert net_geometry(_published()).parameters == by_hand == 31_030_658
    assert sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in _published().modules()) == 23  # of the paper


def test_its_multiply_adds_are_those_counted_layer_by_layer_from_the_figure() -> None:
    sides = {name: (channels, side) for name, channels, side in _FIGURE_1}
    before, by_hand = 1, 0
    for name, (channels, side) in sides.items():
        fan_in = _JOINED[name[:9]] if name.startswith("decoder") and name.endswith(".0") else before
        taps = 1 if name.startswith("ups") or name == "head" else 9  # 2×2 with stride 2: one tap for each output
        by_hand += channels * side**2 * fan_in * taps
        before = channels
    assert multiply_adds(_published(), 572) == by_hand


def test_its_geometry_is_that_of_the_overlap_tile_strategy() -> None:
    net = net_geometry(_published())
    assert (net.margin_px, net.alignment_px, net.window_residue_px, net.halo_px) == (92, 16, 12, 92)
    assert net.valid_window_px(388 + 2 * 92) == 572
    assert [net.valid_window_px(at_least) for at_least in (1, 572, 573)] == [188, 572, 588]
    assert net.bounded_field
    tile = tile_geometry(net, core_px=388, method="overlap-tile")
    assert isinstance(tile, TileGeometry)
    assert (tile.core_px, tile.window_px) == (388, 572)


def test_bilinear_interpolation_loses_one_pixel_more_on_each_side_of_each_level() -> None:
    net = _published("bilinear")
    assert net.margin_px == 92 + 1 + 2 + 4 + 8
    assert net(torch.empty(1, 1, 572, 572, device="meta")).shape[-1] == 572 - 2 * 107


def test_the_zero_dilated_up_convolution_is_a_convolution_of_the_dilated_map() -> None:
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(3, 2, 2, stride=2)
    coarse = torch.rand(1, 3, 5, 5)
    dilated = torch.zeros(1, 3, 10, 10)
    dilated[..., ::2, ::2] = coarse
    padded = nn.functional.pad(dilated, (1, 0, 1, 0))
    flipped = up.weight.flip(2, 3).transpose(0, 1)
    assert torch.allclose(nn.functional.conv2d(padded, flipped, up.bias), up(coarse), atol=1e-6)


@pytest.mark.slow
def test_the_engine_gives_each_core_of_388_what_the_paper_gives_it() -> None:
    """A raster of 388 × 400 is two cores of 388, the second clipped, each read as a mirrored window of 572."""
    from segmentation.classes import CLASS_NAMES
    from segmentation.inference.geometry import aligned_window, plan_read
    from segmentation.inference.predictor import Predictor
    from segmentation.inference.runtime import TorchRuntime
    from segmentation.models.card import ModelCard
    from segmentation.models.registry import LoadedModel
    from segmentation.windows import Window

    torch.manual_seed(1)
    net = UNet2015(in_channels=3, classes=3).eval().requires_grad_(False)
    kwargs: dict[str, int | float | str | bool] = {"in_channels": 3, "classes": 3}
    card = ModelCard(
        name="published", architecture="unet-2015", architecture_kwargs=kwargs, classes=CLASS_NAMES,
        mean=(120.0, 120.0, 120.0), std=(60.0, 60.0, 60.0), gsd_range_m=(0.001, 0.01), training_data=(),
        licence="Apache-2.0", metrics=(), notes=(), sha256="",
    )  # fmt: skip
    geometry = tile_geometry(net_geometry(net), core_px=388, method="overlap-tile")
    runtime = TorchRuntime(LoadedModel(net, card, ""), device="cpu", precision="float32", compiled=False)
    image = np.random.default_rng(0).integers(0, 256, (388, 400, 3), dtype=np.uint8)
    owned = Window(0, 388, 0, 400)
    read = aligned_window(owned, geometry)
    plan = plan_read(read, 388, 400)
    known = np.ones((388, 400), dtype=bool)
    found = Predictor(runtime, geometry=geometry, batch=1).segment(
        plan.fill(image), plan.fill(known), read=read, owned=owned
    )

    for col, width in ((0, 388), (388, 12)):
        rows, cols = mirrored(-92, 480, 388), mirrored(col - 92, col + 480, 400)
        window = torch.from_numpy(image[np.ix_(rows, cols)]).permute(2, 0, 1)[None].float()
        scores = torch.softmax(net((window - 120) / 60)[0], 0)[1:, :, :width]
        expected = (scores * 255).numpy()
        assert np.abs(found.probability[:, :, col : col + width].astype(float) - expected).max() < 1.5

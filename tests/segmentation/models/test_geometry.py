"""The calculator says what the layers say, and what the outputs show."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from segmentation.models.activations import peak_values
from segmentation.models.geometry import activation_bytes, multiply_adds, net_geometry
from segmentation.models.net import Net
from segmentation.models.receptive_field import operation_that_sees_everything, receptive_field_radius_px
from segmentation.models.unet import UNet
from tests.segmentation.models.allocations import measured_peak_values
from tests.segmentation.models.nets import BOUNDED, UNBOUNDED, Kind, random_net, transparent_net


class _Custom(Net):
    """A net of any forward pass, for what the family does not have."""

    def __init__(self, forward: Callable[["_Custom", Tensor], Tensor], *, alignment_px: int = 1) -> None:
        super().__init__()
        self.in_channels, self.classes, self._forward, self._alignment_px = 1, 1, forward, alignment_px
        self.three = nn.Conv2d(1, 1, 3, padding=1)
        self.dilated = nn.Conv2d(1, 1, 3, padding=4, dilation=4)
        self.stem = nn.Conv2d(1, 1, 7, padding=3, stride=2)

    @property
    def alignment_px(self) -> int:
        return self._alignment_px

    def forward(self, image: Tensor) -> Tensor:
        return self._forward(self, image)


def test_the_shipped_architecture_stays_within_its_budget() -> None:
    geometry = net_geometry(UNet(in_channels=3, classes=3, base_channels=16, depth=4))
    assert geometry.parameters == 1_942_611
    assert 2 * geometry.multiply_adds_per_px * 1e6 < 100e9
    assert (geometry.alignment_px, geometry.halo_px) == (16, 112)
    assert (geometry.margin_px, geometry.window_residue_px, geometry.bounded_field) == (0, 0, True)


@pytest.mark.parametrize("kind", BOUNDED, ids=lambda k: k.name)
def test_no_pixel_beyond_the_radius_matters_and_one_at_the_radius_does(kind: Kind) -> None:
    net = transparent_net(in_channels=1, classes=1, base_channels=2, **kind.arguments)
    geometry, step = net_geometry(net), net.alignment_px
    assert geometry.receptive_field_radius_px is not None
    side_px = geometry.valid_window_px(2 * (geometry.receptive_field_radius_px + step + net.margin_px))
    image = torch.rand(1, 1, side_px, side_px, dtype=torch.float64)
    before, reached = net(image), 0
    middle = side_px // 2 // step * step
    for at in range(middle, middle + step):
        changed = image.clone()
        changed[..., at, at] += 1e6
        affected = (net(changed) != before)[0, 0].nonzero() + net.margin_px
        reached = max(reached, int((affected - at).abs().max()))
    assert reached == geometry.receptive_field_radius_px


def test_a_change_of_one_pixel_of_the_shipped_architecture_alters_nothing_beyond_the_radius() -> None:
    net = random_net(base_channels=4, depth=4)
    radius_px = receptive_field_radius_px(net)
    image = torch.rand(1, 3, 480, 480)
    changed = image.clone()
    changed[..., 240, 240] += 100.0
    rows = (net(image) != net(changed)).any(1)[0].nonzero()
    assert radius_px is not None
    assert int((rows - 240).abs().max()) <= radius_px


def test_parallel_branches_are_joined_not_added() -> None:
    # 1 through the plain convolution and 4 through the dilated one beside it, then 1 more: 5, not 6
    net = _Custom(lambda n, x: n.three(n.three(x) + n.dilated(x)))
    assert receptive_field_radius_px(net) == 5


def test_a_branch_at_half_size_reaches_through_its_stride_and_its_interpolation() -> None:
    # output o is mixed from half-size pixels (o - 1)/2 and (o + 1)/2, each of which reads 3 px around twice itself
    net = _Custom(lambda n, x: functional.interpolate(n.stem(x), scale_factor=2, mode="bilinear") + x, alignment_px=2)
    assert receptive_field_radius_px(net) == 5


def test_padding_before_and_cropping_after_do_not_move_the_field() -> None:
    net = _Custom(lambda n, x: n.three(functional.pad(x, (5, 5, 5, 5)))[..., 5:-5, 5:-5])
    assert receptive_field_radius_px(net) == 1


def test_a_shift_reaches_to_one_side() -> None:
    net = _Custom(lambda n, x: functional.pad(n.three(x), (0, 6, 0, 0))[..., 6:])
    assert receptive_field_radius_px(net) == 7


_SEES_ALL: dict[str, Callable[[_Custom, Tensor], Tensor]] = {
    "global-mean": lambda n, x: n.three(x) + x.mean((2, 3), keepdim=True),
    "adaptive-pool": lambda n, x: n.three(x) * functional.adaptive_avg_pool2d(x, 1),
    "attention": lambda n, x: functional.scaled_dot_product_attention(x, x, x),
    "an-operation-without-a-rule": lambda n, x: n.three(x).cumsum(-1),
    "a-roll": lambda n, x: torch.roll(x, 3, -1),
}


@pytest.mark.parametrize("name", _SEES_ALL)
def test_a_net_that_sees_everything_is_recognised_and_may_not_say_otherwise(name: str) -> None:
    net = _Custom(_SEES_ALL[name])
    assert receptive_field_radius_px(net) is None
    assert operation_that_sees_everything(net) is not None
    with pytest.raises(ValueError, match=r"_Custom says that its field is bounded, but .* sees the whole window"):
        net_geometry(net)


@pytest.mark.parametrize("kind", UNBOUNDED, ids=lambda k: k.name)
def test_statistics_of_the_window_make_the_field_unbounded_and_it_is_said(kind: Kind) -> None:
    net = random_net(base_channels=4, **kind.arguments)
    geometry = net_geometry(net)
    assert receptive_field_radius_px(net) is None
    assert (geometry.bounded_field, geometry.receptive_field_radius_px) == (False, None)
    with pytest.raises(ValueError, match="blend its tiles"):
        _ = geometry.halo_px
    if net.padded:
        image = torch.rand(1, 3, 64, 64)
        changed = image.clone()
        changed[..., 0, 0] += 10.0
        assert (net(image) != net(changed))[..., 60:, 60:].any()


def test_multiply_adds_of_a_net_of_one_level_are_those_counted_by_hand() -> None:
    # full size: 3·5·9 + 5·5·9 down, 10·5·9 + 5·5·9 up, head 5·7; quarter size: 5·10·9 + 10·10·9, up 10·5·4
    by_hand = 135 + 225 + 450 + 225 + 35 + (450 + 900 + 200) / 4
    net = UNet(in_channels=3, classes=7, base_channels=5, depth=1)
    assert net_geometry(net).multiply_adds_per_px == by_hand


def test_a_separable_convolution_costs_its_two_parts() -> None:
    # per convolution a·9 + a·b: (3, 5), (5, 5), (10, 5), (5, 5) at full size, (5, 10), (10, 10) at a quarter
    full = sum(a * 9 + a * b for a, b in ((3, 5), (5, 5), (10, 5), (5, 5))) + 5 * 7
    quarter = sum(a * 9 + a * b for a, b in ((5, 10), (10, 10))) + 10 * 5 * 4
    net = UNet(in_channels=3, classes=7, base_channels=5, depth=1, separable=True)
    assert net_geometry(net).multiply_adds_per_px == full + quarter / 4


@pytest.mark.parametrize("kind", BOUNDED + UNBOUNDED, ids=lambda k: k.name)
def test_multiply_adds_are_those_that_torch_counts_in_a_real_pass(kind: Kind) -> None:
    net = random_net(base_channels=3, **kind.arguments)
    side_px = net_geometry(net).valid_window_px(2 * net.margin_px + 24)
    with FlopCounterMode(display=False) as counter:
        net(torch.rand(1, 3, side_px, side_px))
    assert 2 * multiply_adds(net, side_px) == counter.get_total_flops()


@pytest.mark.parametrize("kind", BOUNDED + UNBOUNDED, ids=lambda k: k.name)
def test_a_forward_pass_allocates_at_most_what_was_said_and_more_than_half_of_it(kind: Kind) -> None:
    net = random_net(base_channels=16, **kind.arguments)
    geometry = net_geometry(net)
    side_px = geometry.valid_window_px(128 + 2 * net.margin_px)
    said, measured = peak_values(net, side_px), measured_peak_values(net, side_px)
    assert 0.5 * said < measured <= said
    if geometry.bounded_field:
        assert said <= geometry.peak_activation_values_per_px * side_px**2
    assert activation_bytes(net, side_px, torch.bfloat16) == int(2 * said)


def test_asking_for_figures_leaves_the_net_as_it_was() -> None:
    net = UNet(base_channels=2, depth=2).train()
    net.bottom.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net_geometry(net)
    assert net.training
    assert not net.bottom.training
    assert net.decoder[0].training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

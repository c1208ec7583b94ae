"""What every net of the project can be asked, whatever its architecture."""

from abc import ABC, abstractmethod
from copy import deepcopy
from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

NetType = TypeVar("NetType", bound="Net")


class Net(nn.Module, ABC):
    """Base of all nets: ``(N, in_channels, H, W)`` → logits ``(N, classes, H - 2·margin_px, W - 2·margin_px)``.

    A subclass sets `in_channels` and `classes`, says its `alignment_px`, and overrides what differs from a padded
    net of convolutions. H and W must be ≡ `window_residue_px` modulo `alignment_px`, else ValueError.
    """

    in_channels: int
    """Channels of the image."""
    classes: int
    """Channels of the logits."""

    @property
    @abstractmethod
    def alignment_px(self) -> int:
        """Tile origins must be multiples of this, so that pooling cells fall alike in every tile."""

    @property
    def margin_px(self) -> int:
        """Pixels lost on each side between image and logits: 0 for padded nets."""
        return 0

    @property
    def window_residue_px(self) -> int:
        """Sides of valid windows leave this remainder modulo `alignment_px`: 0 for padded nets."""
        return 0

    @property
    def bounded_field(self) -> bool:
        """Whether an output pixel depends on a bounded neighbourhood alone.

        False where anything is computed over the whole window: attention, global pooling, and the statistics of
        group or instance normalisation. Tiles of such a net are blended, they cannot be exact.
        """
        return True

    @property
    def reference_window_px(self) -> int:
        """Side of the window for which figures are stated that depend on the window (attention, valid nets)."""
        least_px = max(512, 4 * self.margin_px)
        return -(-least_px // self.alignment_px) * self.alignment_px + self.window_residue_px

    @property
    def peak_activation_values_per_px(self) -> float:
        """Upper bound of the values alive at once in a forward pass without gradients, per input pixel."""
        from segmentation.models.activations import peak_values_per_px  # a cycle, were it above: it takes a Net

        return peak_values_per_px(self)

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes, H', W')``, smaller by the margins, of a normalised image ``(N, in_channels, H, W)``."""

    def check_window(self, height_px: int, width_px: int) -> None:
        """Raise ValueError where a window of this size does not suit the net."""
        for side_px in (height_px, width_px):
            if side_px % self.alignment_px != self.window_residue_px or side_px <= 2 * self.margin_px:
                rest = f" plus {self.window_residue_px}" if self.window_residue_px else ""
                above = f" and exceed {2 * self.margin_px}" if self.margin_px else ""
                raise ValueError(
                    f"height and width must be multiples of {self.alignment_px}{rest}{above}, "
                    f"got {height_px}×{width_px}"
                )


def fold_batch_norm(module: NetType) -> NetType:
    """An equivalent copy in eval mode whose batch normalisations are folded into the convolutions before them.

    Folded is what stands in an ``nn.Sequential`` right behind a convolution, or behind a Sequential that ends in one;
    any other normalisation stays as it is. The differences are rounding only (below 1e-4 in the logits of a trained
    net); the input is not changed, and is itself the answer where there is nothing to fold.
    """
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules()):
        return module
    folded = deepcopy(module).eval()
    for chain in [m for m in folded.modules() if isinstance(m, nn.Sequential)]:
        for i, (layer, norm) in enumerate(pairwise(list(chain))):
            if not isinstance(norm, nn.BatchNorm2d):
                continue
            inner, at = (layer, len(layer) - 1) if isinstance(layer, nn.Sequential) else (chain, i)
            convolution = inner[at]
            if isinstance(convolution, nn.Conv2d):
                inner[at] = fuse_conv_bn_eval(convolution, norm)
                chain[i + 1] = nn.Identity()
    return folded

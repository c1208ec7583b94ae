"""What a net may bring along to be trained: its own targets, its own loss, its own parameter groups.

The loop trains every net whose forward pass gives logits ``(N, classes, H - 2·margin_px, W - 2·margin_px)``.
A net that learns more than that from the labels (object and border maps), or that trains only some of its
parameters (a frozen encoder), defines one or both of the protocols below; nothing has to be registered. The
loop asks by `isinstance`, so the methods' names decide and a net needs no import from here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NotRequired, Protocol, TypedDict, runtime_checkable

from torch import Tensor, nn

from segmentation.models.net import Net

LabelLoss = Callable[[Tensor, Tensor], Tensor]
"""The run's own loss: (logits float32 ``(N, classes, h, w)``, labels uint8 bit fields ``(N, H, W)``) → scalar.

The labels may be larger by the net's margin on each side; the loss takes their middle."""


@runtime_checkable
class OwnLoss(Protocol):
    """A net that computes its loss itself, from targets that it derives from the labels."""

    def training_targets(self, labels: Tensor) -> Mapping[str, Tensor]:
        """Further targets, made of the labels uint8 bit fields ``(N, H, W)`` on the CPU; may be empty.

        Must be a pure function of the labels (a resumed run makes them anew). The loop moves what it gets to
        the device and hands it to `training_loss`.
        """
        ...

    def training_loss(
        self, images: Tensor, labels: Tensor, targets: Mapping[str, Tensor], *, label_loss: LabelLoss
    ) -> Tensor:
        """Scalar loss of a batch of normalised images float32 ``(N, in_channels, H, W)``.

        Runs the forward pass itself, in training mode and under the loop's autocast; logits go to
        `label_loss` as they are (it computes in float32). All tensors lie on the net's device.
        """
        ...


class ParameterGroup(TypedDict):
    """Parameters that are trained alike."""

    params: Sequence[nn.Parameter]
    """The parameters."""
    learning_rate_factor: NotRequired[float]
    """Times the run's learning rate at every step; 1 where it is missing."""
    weight_decay: NotRequired[float]
    """In place of the run's weight decay."""


@runtime_checkable
class OwnParameterGroups(Protocol):
    """A net that says which of its parameters are trained, and how fast."""

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The groups, in an order that depends on the constructor's arguments alone.

        What is in no group is frozen: the loop switches its gradient off. A frozen part that must not learn
        its normalisation statistics either has to override `train` so that it stays in eval mode.
        """
        ...


def groups_of(net: nn.Module) -> list[ParameterGroup]:
    """The groups of a net with hooks, else one group of all; freezes what is in none of them.

    Raises ValueError where no parameter is left to train.
    """
    if not isinstance(net, OwnParameterGroups):
        return [ParameterGroup(params=[p for p in net.parameters() if p.requires_grad])]
    groups = [group for group in net.parameter_groups() if group["params"]]
    trained = {id(p) for group in groups for p in group["params"]}
    if not trained:
        raise ValueError("a net must have at least one parameter to train, got none in its parameter groups")
    for parameter in net.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    return groups


@runtime_checkable
class OwnBackbone(Protocol):
    """A net that takes the weights of a pre-trained encoder."""

    def load_backbone_state(self, state: dict[str, Tensor]) -> None:
        """Take the weights of `segmentation.models.backbone.Backbone.state`."""
        ...


@runtime_checkable
class OwnRelease(Protocol):
    """A net that is stored in another form than it is trained in, as one with low-rank layers is."""

    @property
    def architecture_kwargs(self) -> Mapping[str, int | float | str | bool]:
        """Constructor arguments that rebuild `merged`."""
        ...

    def merged(self) -> Net:
        """The equivalent net that is stored and run."""
        ...

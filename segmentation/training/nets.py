"""The net of a run: built by its name in the registry, started from weights, released for inspection."""

from collections.abc import Mapping

from segmentation.errors import UsageError
from segmentation.models.net import Net
from segmentation.models.registry import ARCHITECTURES, load_model
from segmentation.training.net_hooks import OwnBackbone, OwnRelease
from segmentation.training.run_config import NetConfig

NetArguments = Mapping[str, int | float | str | bool]


def blank_net(config: NetConfig) -> Net:
    """The net with the random weights that torch's generator gives.

    Raises UsageError ``E_ARCHITECTURE`` where there is none of that name or it does not take the arguments.
    """
    if config.architecture not in ARCHITECTURES:
        cause = f"the architecture must be one of {', '.join(sorted(ARCHITECTURES))}, got none of that name"
        raise UsageError("E_ARCHITECTURE", config.architecture, cause, "name one of these")
    try:
        return ARCHITECTURES[config.architecture](**config.kwargs)
    except (TypeError, ValueError) as error:
        cause = f"the architecture must take the arguments {dict(config.kwargs)}, got {error}"
        raise UsageError("E_ARCHITECTURE", config.architecture, cause, "mend the arguments (--set)") from error


def initial_net(config: NetConfig) -> Net:
    """The net as a run starts: with the weights of a model, or those of a pre-trained backbone, or random ones.

    Raises UsageError ``E_INITIAL_MODEL`` where the weights are another architecture's.
    """
    net = blank_net(config)
    if config.backbone is not None:
        from segmentation.models.backbone import load_backbone  # its library is an extra

        if not isinstance(net, OwnBackbone):
            cause = "only a net on a pre-trained encoder takes a backbone, got none of these"
            raise UsageError("E_ARCHITECTURE", config.architecture, cause, "leave the backbone out")
        net.load_backbone_state(dict(load_backbone(config.backbone).state))
    if config.initial_model is not None:
        loaded = load_model(config.initial_model)
        try:
            net.load_state_dict(loaded.module.state_dict())
        except RuntimeError as error:
            cause = (
                f"the weights must be of {config.architecture} with the same arguments, got {loaded.card.architecture} "
            )
            cause += f"with {loaded.card.architecture_kwargs}"
            raise UsageError("E_INITIAL_MODEL", config.initial_model, cause, "start from others, or anew") from error
    return net


def released(net: Net, config: NetConfig) -> tuple[Net, dict[str, int | float | str | bool]]:
    """The net in eval mode as it is stored, with the constructor arguments that rebuild it."""
    if isinstance(net, OwnRelease):
        merged = net.merged()
        return merged.eval().requires_grad_(False), dict(net.architecture_kwargs)
    return net.eval().requires_grad_(False), dict(config.kwargs)

"""Centre lines of soft masks by pooling alone, so that a loss can be taken of them."""

import torch
from torch import Tensor
from torch.nn import functional


def soft_skeleton(mask: Tensor, *, rounds: int) -> Tensor:
    """Soft centre lines ``(N, H, W)`` of soft masks ``(N, H, W)`` with values in [0, 1].

    Each round peels a pixel off and keeps what an opening by a 3×3 square would remove: the ridge. Lines up to
    2·`rounds` px wide are thinned; beyond that their inside is left over.
    After Shit et al.: "clDice – a novel topology-preserving loss function", CVPR 2021, algorithm 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be >= 1, got {rounds}")
    layer = mask[:, None]
    skeleton = functional.relu(layer - _opened(layer))
    for _ in range(rounds):
        layer = _eroded(layer)
        ridge = functional.relu(layer - _opened(layer))
        skeleton = skeleton + functional.relu(ridge - skeleton * ridge)
    return skeleton[:, 0]


def _eroded(layer: Tensor) -> Tensor:
    """The lowest of each pixel's cross of five, so that diagonal lines are not broken."""
    down = -functional.max_pool2d(-layer, (3, 1), 1, (1, 0))
    across = -functional.max_pool2d(-layer, (1, 3), 1, (0, 1))
    return torch.minimum(down, across)


def _opened(layer: Tensor) -> Tensor:
    return functional.max_pool2d(_eroded(layer), 3, 1, 1)

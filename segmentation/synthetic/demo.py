"""The demo survey's scenes, one at a time."""

from collections.abc import Iterator

import numpy as np

from segmentation.synthetic.deck import deck_scene
from segmentation.synthetic.scenes import Scene
from segmentation.synthetic.truss import truss_scene


def demo_scenes(seed: int, *, scale: float = 1.0) -> Iterator[Scene]:
    """A bridge deck and a steel truss panel, painted when asked for, so that only one is in memory.

    `scale` below 1 gives fewer pixels at the same GSD; raises ValueError outside [0.1, 1].
    """
    if not 0.1 <= scale <= 1.0:
        raise ValueError(f"scale must be between 0.1 and 1, got {scale}")
    for number, paint in enumerate((deck_scene, truss_scene)):
        yield paint(np.random.default_rng([seed, number]), scale=scale)

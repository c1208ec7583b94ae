"""Learning rates over a run, as pure functions of the step."""

from dataclasses import dataclass
from math import cos, pi
from typing import Literal

Decay = Literal["cosine", "constant-linear"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A linear warm-up to the highest learning rate, and how it falls after that.

    >>> schedule = Schedule("constant-linear", highest=1.0, lowest_share=0.0, warm_up_share=0.2, constant_share=0.5)
    >>> [round(schedule.learning_rate(step, steps=10), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """

    decay: Decay
    """``cosine``: half a cosine from the warm-up to the end; ``constant-linear``: constant, then a straight line."""
    highest: float
    """Highest learning rate."""
    lowest_share: float
    """What is left of it at the end."""
    warm_up_share: float
    """Share of the steps in which it rises from 0."""
    constant_share: float
    """Share of the steps, after the warm-up, before ``constant-linear`` falls; without effect for ``cosine``."""

    def __post_init__(self) -> None:
        if not self.highest > 0:
            raise ValueError(f"highest must be > 0, got {self.highest}")
        for name in ("lowest_share", "warm_up_share", "constant_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")

    def learning_rate(self, step: int, *, steps: int) -> float:
        """Learning rate of the step with this number (from 0) in a run of `steps`."""
        warm_up = max(1, round(self.warm_up_share * steps))
        if step < warm_up:
            return self.highest * (step + 1) / warm_up
        if self.decay == "cosine":
            done = (step - warm_up) / max(1, steps - warm_up)
            left = 0.5 * (1 + cos(pi * done))
        else:
            falls_from = warm_up + round(self.constant_share * steps)
            left = 1 - max(0, step - falls_from + 1) / max(1, steps - falls_from + 1)
        return self.highest * (self.lowest_share + (1 - self.lowest_share) * left)

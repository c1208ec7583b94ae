"""How cracks look in a raster: the blur they are seen through, and how dark they are inside.

A crack wider than the blur shows both itself. A narrower one shows their product alone: its darkness summed across
is width × inner darkness, and its outline is the blur's. So the raster's wide cracks are asked first, and what they
tell is the prior of the narrow ones (`pooled`); without them the prior is an assumption with a large uncertainty.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, fsum, log


@dataclass(frozen=True, slots=True)
class Estimate:
    """A positive quantity known as ln x ~ N(ln value, spread²)."""

    value: float
    spread: float
    """Relative uncertainty (σ of the logarithm)."""


@dataclass(frozen=True, slots=True)
class CrackAppearance:
    """What is known of a raster's cracks before one of them is measured."""

    blur_px: Estimate
    """σ of the blur in ground pixels: lens, pixel box (1/√12) and resampling."""
    darkness: Estimate
    """Depth of a wide crack below the background beside it, as a share of that background."""


ASSUMED = CrackAppearance(blur_px=Estimate(0.85, 0.42), darkness=Estimate(0.5, 0.45))
"""Without any evidence. Cracks of open data sets wide enough to show both had blurs of 0.5 to 1.6 px and darknesses
of 0.3 (concrete seen from a drone: 0.16 to 0.36) to 0.76 (masonry: 0.53 to 0.95)."""

_BETWEEN = CrackAppearance(blur_px=Estimate(1.0, 0.05), darkness=Estimate(1.0, 0.06))
"""How much blur and darkness differ from crack to crack of one raster, where few cracks are there to tell."""
_BETWEEN_WEIGHT = 2
"""So many cracks is that assumption worth."""
_TELLING = 0.15
"""A crack that leaves more than this relative uncertainty tells what was assumed of it and nothing else."""


def pooled(evidence: Iterable[CrackAppearance]) -> CrackAppearance:
    """The prior of one more crack of a raster, from what single cracks of it showed; `ASSUMED` where there is none.

    Random effects: the value is the mean of `ASSUMED` and the cracks' values, each weighted with
    1 / (its variance + the variance between cracks); the spread holds the variance between cracks and that of the
    mean. The same for any order of the evidence.
    """
    found = list(evidence)
    blurs = [one.blur_px for one in found if one.blur_px.spread <= _TELLING]
    darknesses = [one.darkness for one in found if one.darkness.spread <= _TELLING]
    return CrackAppearance(
        _pooled(blurs, ASSUMED.blur_px, _BETWEEN.blur_px.spread),
        _pooled(darknesses, ASSUMED.darkness, _BETWEEN.darkness.spread),
    )


def _pooled(found: list[Estimate], assumed: Estimate, between: float) -> Estimate:
    logs = [log(one.value) for one in found]
    mean, between_var, mean_var = log(assumed.value), between**2, assumed.spread**2
    for _ in range(10):
        weights = [1 / (one.spread**2 + between_var) for one in found]
        total = fsum([*weights, 1 / assumed.spread**2])
        mean = fsum([*(w * x for w, x in zip(weights, logs, strict=True)), log(assumed.value) / assumed.spread**2])
        mean, mean_var = mean / total, 1 / total
        # Each crack's own uncertainty is taken off what it differs by; a vague one counts for little.
        shares = [between_var * w for w in weights]
        excess = [max((x - mean) ** 2 - one.spread**2, 0.0) for x, one in zip(logs, found, strict=True)]
        between_var = fsum([*(s * e for s, e in zip(shares, excess, strict=True)), _BETWEEN_WEIGHT * between**2])
        between_var /= fsum([*shares, float(_BETWEEN_WEIGHT)])
    return Estimate(exp(mean), min((between_var + mean_var) ** 0.5, assumed.spread) if found else assumed.spread)

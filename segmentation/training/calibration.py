"""Whether a stated probability is the share of pixels that hold: reliability and its expected error."""

from dataclasses import dataclass

import numpy as np

from segmentation.training.curves import LEVELS, PixelHistogram

BINS = 10
"""Bins of equal width, as is usual."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pixels whose probability lies in one bin."""

    low: float
    """Least probability of the bin, included."""
    high: float
    """Upper limit, left out but for 1."""
    pixels: int
    stated: float
    """Their mean probability; NaN without a pixel."""
    observed: float
    """Share of them that is true; NaN without a pixel."""


def reliability(histogram: PixelHistogram, *, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """The reliability table of a class's probability over bins of equal width."""
    if not 1 <= bins <= LEVELS:
        raise ValueError(f"bins must be 1 … {LEVELS}, got {bins}")
    levels = np.arange(LEVELS)
    bin_of = np.minimum(levels * bins // (LEVELS - 1), bins - 1)
    table = []
    for number in range(bins):
        here = bin_of == number
        true = int(histogram.positives[here].sum())
        pixels = true + int(histogram.negatives[here].sum())
        weighted = float((levels[here] * (histogram.positives + histogram.negatives)[here]).sum()) / (LEVELS - 1)
        table.append(
            ReliabilityBin(
                low=number / bins,
                high=(number + 1) / bins,
                pixels=pixels,
                stated=weighted / pixels if pixels else float("nan"),
                observed=true / pixels if pixels else float("nan"),
            )
        )
    return tuple(table)


def calibration_error(histogram: PixelHistogram, *, bins: int = BINS) -> float:
    """Expected calibration error: mean of |stated − observed| over the pixels, by bin; NaN without a pixel.

    After Guo, Pleiss, Sun, Weinberger: "On calibration of modern neural networks", ICML 2017, with the class's own
    probability against its own truth. Where damage is rare the sound ground dominates it: see the table as well.
    """
    table = [row for row in reliability(histogram, bins=bins) if row.pixels]
    total = sum(row.pixels for row in table)
    if total == 0:
        return float("nan")
    return sum(row.pixels * abs(row.stated - row.observed) for row in table) / total

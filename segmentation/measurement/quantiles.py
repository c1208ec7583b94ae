"""Quantiles of short arrays: numpy's own spend some twenty times as long on checking what they are given."""

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.floating]


def median_of(values: Reals) -> float:
    """Median of ``(N,)`` finite values, at least one."""
    ordered = np.sort(values)
    half = ordered.size // 2
    return float(ordered[half]) if ordered.size % 2 else (float(ordered[half - 1]) + float(ordered[half])) / 2


def quantile_of(ordered: Reals, share: float) -> float:
    """Quantile of ``(N,)`` ascending values, at least one, linear between them."""
    place = share * (ordered.size - 1)
    at = min(int(place), ordered.size - 2) if ordered.size > 1 else 0
    low, high = float(ordered[at]), float(ordered[min(at + 1, ordered.size - 1)])
    return low + (high - low) * (place - at)

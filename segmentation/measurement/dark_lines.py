"""Dark lines in rows of grey values: their background, their depth below it, and their edges at half of that.

The background is a straight line between the medians of a strip on each side.
"""

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.floating]

ACROSS_STEP_PX = 0.5
"""Sampling across the crack: twice as fine as the pixels, which the blur has smoothed already."""
STRIP = 12
"""Samples of the strip on each side from which the background is taken: 6 px."""
_LEAST_CONTRAST = 6.0
"""Grey levels: less is no crack that the image shows."""
_LEAST_SIGNAL_TO_NOISE = 4.0


def full_width(grey: Reals, across: Reals, *, usable: Bools, half_width: Reals) -> tuple[Reals, Reals, Reals]:
    """Full width at half depth ``(N,)`` of dark lines ``(N, M)`` sampled at `across` ``(M,)``, with the background
    ``(N, M)`` and its noise ``(N,)``; NaN where no clear dark line is shown.

    The background is the straight line between the medians of two strips of 6 px, first outside
    `half_width` ``(N,)``, then outside the edges found. The depth is the mean over the middle half of the line,
    so that noise does not deepen it. `usable` ``(N, M)`` says what may serve as background.
    """
    left, right = -half_width, half_width
    near = np.abs(across) <= half_width[:, None] + 1.0
    for rounds in (1, 2):
        base, strips, known = _background(grey, across, usable, left - 1.5, right + 1.5)
        left, right, depth = half_depth_edges(base - grey, across, near, rounds=rounds)
        known &= np.isfinite(left) & np.isfinite(right)
        left, right = np.where(known, left, -half_width), np.where(known, right, half_width)
    spread = 1.4826 * _row_medians(np.abs(strips), np.isfinite(strips))
    noise = np.fmax(spread[: len(grey)], spread[len(grey) :])
    clear = known & (depth > _LEAST_CONTRAST) & (depth > _LEAST_SIGNAL_TO_NOISE * noise)
    span = half_width * 1.25 + 3.0
    clear &= (left > -span) & (right < span)
    return np.where(clear, right - left, np.nan), base, noise


def _background(grey: Reals, across: Reals, usable: Bools, left: Reals, right: Reals) -> tuple[Reals, Reals, Bools]:
    """Background ``(N, M)``, how both strips ``(2N, 12)``, those on the left first, differ from their medians, and
    whether both sides show it ``(N,)``."""
    count, width = grey.shape
    outwards = np.concatenate([-left, right])
    first = np.ceil((outwards - across[0]) / ACROSS_STEP_PX).astype(np.intp)
    outward = first[:, None] + np.arange(STRIP)
    within = outward < width
    np.minimum(outward, width - 1, out=outward)
    np.subtract(width - 1, outward[:count], out=outward[:count])
    rows = np.arange(count) * width
    outward += np.concatenate([rows, rows])[:, None]
    shown = usable.take(outward) & within
    strips = np.where(shown, grey.take(outward), np.float32(np.nan))
    enough = shown.sum(axis=1) * ACROSS_STEP_PX >= 2.0
    levels = np.where(enough, _row_medians(strips, shown), np.nan)
    strips -= levels[:, None]
    places = outwards + (STRIP - 1) * ACROSS_STEP_PX / 2
    one, other = levels[:count], levels[count:]
    known = np.isfinite(one) & np.isfinite(other)
    slope = (other - one) / (places[count:] + places[:count])
    base = slope.astype(grey.dtype)[:, None] * across
    base += (one + slope * places[:count]).astype(grey.dtype)[:, None]
    return base, strips, known


def _row_medians(values: Reals, shown: Bools) -> Reals:
    """Median of each row without its NaNs, which are where nothing is `shown`; NaN where there is nothing else.
    numpy's own takes ten times as long."""
    count = shown.sum(axis=1)
    ordered = np.sort(values, axis=1).ravel()
    first, last = np.arange(len(values)) * values.shape[1], values.shape[1] - 1
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, last)
    medians: Reals = (ordered.take(first + low) + ordered.take(first + high)) / 2
    return medians


def half_depth_edges(deficit: Reals, across: Reals, near: Bools, *, rounds: int) -> tuple[Reals, Reals, Reals]:
    """(left edge, right edge, depth), each ``(N,)``, of lines whose deepest point lies where `near` ``(N, M)`` says.

    The depth is that of the deepest point at first, from then on the mean over the middle half: noise cannot deepen
    it as it deepens a maximum.
    """
    shown = np.where(near, deficit, np.float32(-np.inf))
    peak_at = shown.argmax(axis=1)
    depth = shown[np.arange(len(deficit)), peak_at]
    places, peak_at = np.arange(across.size, dtype=np.int16), peak_at.astype(np.int16)
    sides = places < peak_at[:, None], places > peak_at[:, None]
    ones = np.ones(across.size, deficit.dtype)
    left = right = depth
    for _ in range(rounds):
        left, right = edges_about(deficit, across, sides, depth / 2)
        middle, side = (left + right) / 2, np.maximum((right - left) / 4, ACROSS_STEP_PX)
        inner = np.abs(across - middle.astype(across.dtype)[:, None])
        inside = (inner <= side.astype(across.dtype)[:, None]).astype(deficit.dtype)
        count, total = inside @ ones, np.einsum("nm,nm->n", inside, deficit).astype(np.float64)
        depth = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return left, right, depth


def edges_about(deficit: Reals, across: Reals, sides: tuple[Bools, Bools], level: Reals) -> tuple[Reals, Reals]:
    """Where the deficit ``(N, M)`` first falls below `level` on either side of a place, linear between samples; `sides`
    say which samples lie before and after it."""
    count, width = deficit.shape
    below = deficit < level.astype(deficit.dtype)[:, None]
    before, after = below & sides[0], below & sides[1]
    at = np.concatenate([width - 1 - before[:, ::-1].argmax(axis=1), after.argmax(axis=1)])
    rows = np.arange(count) * width
    rows = np.concatenate([rows, rows])
    found = np.concatenate([before, after]).ravel().take(np.arange(2 * count) * width + at)
    at[~found] = 1
    inwards = at.copy()
    inwards[:count] += 1
    inwards[count:] -= 1
    flat = deficit.ravel()
    inner, outer = flat.take(rows + inwards), flat.take(rows + at)
    drop = np.where(inner != outer, inner - outer, 1.0)
    share = np.clip((inner - np.concatenate([level, level])) / drop, 0.0, 1.0)
    place = across[inwards] + (across[at] - across[inwards]) * share
    place = np.where(found, place, np.nan)
    return place[:count], place[count:]

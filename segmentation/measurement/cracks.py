"""Length and width of a crack, with the ± of the width.

*Length.* Geodesic length of the smoothed centre lines (`segmentation.measurement.skeletons`).

*Width.* Full width at half depth of the image's darkness across the centre line, blur taken off
(`segmentation.measurement.widths`), a running median over 9 px along the line. Where the image does not tell
(low contrast, edge of the data) over more than half of the line, the distance transform of the mask serves
instead: twice the distance to the nearest pixel outside, less half a pixel. `width_method` says which.

*±*, about 95 %, in ground pixels and then times the GSD:

    profile:   2 · √(0.05² + scatter² + (w(blur·(1−r)) − w(blur·(1+r)))²/4)
    distance:  2 · √(0.35² + scatter²) and at least a quarter of the width

with `scatter` the robust scatter (1.4826 · MAD) of single widths about their running median, 0.05 px the
sampling, r the relative uncertainty of the blur (0.15 assumed, 0.05 where it was estimated from the edges), and
0.35 px the error of distance-transform widths on rendered cracks.

*Below resolution.* A crack is below resolution where even its largest width is less than `min_width_px` times
the GSD: its widths are to be stated as "< that" and never graded. The largest width decides, so that a crack
which opens anywhere to a measurable width is reported with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter
from shapely.geometry import MultiLineString

from segmentation.georeference import Floats, PixelScale
from segmentation.measurement.skeletons import GroundFrame, Path, centre_paths
from segmentation.measurement.widths import ProfileStack, WidthProfile, blur_of, measure_profiles, unblurred
from segmentation.records import CrackMeasure

Bools = npt.NDArray[np.bool_]

_MEDIAN_PX = 9
_SAMPLING_PX = 0.05
_DISTANCE_PX = 0.35
_DISTANCE_BIAS_PX = 0.5
_MOST_POINTS = 40_000
"""More centre line than this is sampled more coarsely, so that the largest map cracking takes bounded time."""
_MOST_PROFILED_PATHS = 3000
_PROFILE_POINTS = 200
_LIKELY_CRACK = 0.3


@dataclass(frozen=True, slots=True)
class TracedPath:
    """One centre line with its widths."""

    points: Floats
    """``(N, 2)`` (row, col) in raster pixel-corner coordinates."""
    step_m: float
    """Length of each of the N − 1 pieces."""
    width_m: Floats
    """``(N,)`` by profile; NaN where the image does not tell."""
    distance_width_m: Floats
    """``(N,)`` by distance transform."""
    core: Bools
    """``(N,)`` away from ends and junctions."""


@dataclass(frozen=True, slots=True)
class CrackTrace:
    """A whole crack, measured once; `crack_result` sums it up, in one or in parts."""

    paths: tuple[TracedPath, ...]
    """Longest first."""
    gsd_m: float
    scatter_m: float
    """Robust scatter of single profile widths."""
    blur_term_m: float
    """Half the change of the width over the blur's uncertainty."""


@dataclass(frozen=True, slots=True)
class CrackResult:
    """Size and centre lines of a crack or of a part of it."""

    measure: CrackMeasure
    lines: MultiLineString
    """Centre lines as (col, row) in raster pixel-corner coordinates; a pixel's centre is index + 0.5."""
    below_resolution: bool
    """Whether its largest width is below what the GSD can carry."""


def measure_crack(
    pixels: Bools,
    *,
    image: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.float32],
    scale: PixelScale,
    origin: tuple[int, int],
    min_width_px: float,
) -> CrackResult:
    """Length and width of the one crack whose pixels are given, bool ``(H, W)``.

    `image` uint8 ``(H, W, 3)``, `probability` float32 ``(H, W)`` of the class crack in [0, 1], of the same window,
    which should have a margin of some 16 px around the crack; `origin` is the window's (row, col) in the raster.
    Raises ValueError where no pixel is set or the shapes differ.
    """
    trace = trace_crack(pixels, image=image, probability=probability, scale=scale, origin=origin)
    result = crack_result(trace, labels=None, label=0, min_width_px=min_width_px)
    if result is None:
        raise ValueError("a crack must have a length, got none")
    return result


def trace_crack(
    pixels: Bools,
    *,
    image: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.float32],
    scale: PixelScale,
    origin: tuple[int, int],
) -> CrackTrace:
    """Centre lines and widths of one crack; arguments as `measure_crack`."""
    if image.shape != (*pixels.shape, 3) or probability.shape != pixels.shape:
        raise ValueError(
            f"image and probability must cover the crack's window {pixels.shape}, "
            f"got {image.shape} and {probability.shape}"
        )
    frame = GroundFrame(scale)
    # A skeleton has less pixels than its crack: many pixels are a hint of much line, not more.
    step_px = max(1.0, np.count_nonzero(pixels) / 4 / _MOST_POINTS)
    paths = centre_paths(pixels, frame=frame, step_px=step_px)
    foreign = pixels | (probability >= _LIKELY_CRACK)
    stack = ProfileStack()
    profiles = [
        measure_profiles(path, image=image, foreign=foreign, frame=frame, stack=stack)
        if number < _MOST_PROFILED_PATHS
        else _unseen(path)
        for number, path in enumerate(paths)
    ]
    blur, blur_spread = blur_of(stack)
    raw = [unblurred(profile.fwhm, blur) for profile in profiles]
    widths = [_running_median(width, path.step) for width, path in zip(raw, paths, strict=True)]
    corner = np.array(origin, np.float64) + 0.5
    return CrackTrace(
        paths=tuple(
            TracedPath(
                points=frame.pixel(_shifted(path, profile)) + corner,
                step_m=path.step * frame.gsd_m,
                width_m=np.where(path.core, width, np.nan) * frame.gsd_m,
                distance_width_m=np.maximum(2 * path.half_width - _DISTANCE_BIAS_PX, 0.5) * frame.gsd_m,
                core=path.core,
            )
            for path, profile, width in zip(paths, profiles, widths, strict=True)
        ),
        gsd_m=frame.gsd_m,
        scatter_m=_scatter(raw, widths, paths) * frame.gsd_m,
        blur_term_m=_blur_term(profiles, blur, blur_spread) * frame.gsd_m,
    )


def crack_result(
    trace: CrackTrace, *, labels: Sequence[npt.NDArray[np.int64]] | None, label: int, min_width_px: float
) -> CrackResult | None:
    """What a trace amounts to, or the part of it that carries a label; None where that part has no length.

    `labels` gives for each path the label ``(N − 1,)`` of each of its pieces; None: everything.
    """
    chosen = [
        np.full(len(path.points) - 1, label) if labels is None else labels[n] for n, path in enumerate(trace.paths)
    ]
    lines, length_m = [], 0.0
    for path, piece_labels in zip(trace.paths, chosen, strict=True):
        for start, stop in _stretches(piece_labels == label):
            lines.append(path.points[start : stop + 1, ::-1])
            length_m += path.step_m * (stop - start)
    if not lines:
        return None
    masks = [_points_of(piece_labels == label) for piece_labels in chosen]
    measure = _measure(trace, masks, length_m=length_m, min_width_px=min_width_px)
    return CrackResult(measure, MultiLineString(lines), measure.max_width_mm < measure.resolvable_width_mm)


def _measure(trace: CrackTrace, masks: list[Bools], *, length_m: float, min_width_px: float) -> CrackMeasure:
    points = np.concatenate([path.points[mask] for path, mask in zip(trace.paths, masks, strict=True)])
    by_profile = np.concatenate([path.width_m[mask] for path, mask in zip(trace.paths, masks, strict=True)])
    by_distance = np.concatenate([path.distance_width_m[mask] for path, mask in zip(trace.paths, masks, strict=True)])
    core = np.concatenate([path.core[mask] for path, mask in zip(trace.paths, masks, strict=True)])
    told = np.isfinite(by_profile)
    use_profile = told.sum() >= max(3, core.sum() / 2)
    if use_profile:
        width, places = by_profile[told], points[told]
        variance = (_SAMPLING_PX * trace.gsd_m) ** 2 + trace.scatter_m**2 + trace.blur_term_m**2
        uncertainty_m = 2 * float(np.sqrt(variance))
    else:
        where = core if core.any() else np.ones(core.size, np.bool_)
        width, places = by_distance[where], points[where]
        scatter = 1.4826 * float(np.median(np.abs(width - np.median(width))))
        uncertainty_m = 2 * float(np.hypot(_DISTANCE_PX * trace.gsd_m, scatter))
        uncertainty_m = max(uncertainty_m, float(width.max()) / 4)
    widest = int(width.argmax())
    return CrackMeasure(
        length_m=length_m,
        max_width_mm=float(width[widest]) * 1e3,
        p95_width_mm=float(np.percentile(width, 95)) * 1e3,
        mean_width_mm=float(width.mean()) * 1e3,
        width_uncertainty_mm=uncertainty_m * 1e3,
        width_method="profile" if use_profile else "distance",
        widest_at=(float(places[widest, 0]), float(places[widest, 1])),
        resolvable_width_mm=min_width_px * trace.gsd_m * 1e3,
        profile=_longest_profile(trace, masks, use_profile),
    )


def _longest_profile(trace: CrackTrace, masks: list[Bools], use_profile: bool) -> tuple[tuple[float, float], ...]:
    counts = [int(mask.sum()) * path.step_m for path, mask in zip(trace.paths, masks, strict=True)]
    number = int(np.argmax(counts))
    path, mask = trace.paths[number], masks[number]
    width = path.width_m if use_profile else path.distance_width_m
    at = np.flatnonzero(mask & np.isfinite(width))
    at = at[:: max(1, -(-at.size // _PROFILE_POINTS))]
    return tuple((float(k * path.step_m), float(width[k] * 1e3)) for k in at)


def _stretches(chosen: Bools) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    return list(zip(change[::2].tolist(), change[1::2].tolist(), strict=True))


def _points_of(pieces: Bools) -> Bools:
    """Points that one of the chosen pieces ends at."""
    mask = np.zeros(pieces.size + 1, np.bool_)
    mask[:-1] |= pieces
    mask[1:] |= pieces
    return mask


def _running_median(width: Floats, step: float) -> Floats:
    known = np.isfinite(width)
    if not known.any():
        return width
    at = np.arange(width.size)
    filled = np.interp(at, at[known], width[known])
    size = max(1, round(_MEDIAN_PX / step) | 1)
    return np.where(known, median_filter(filled, size=size, mode="nearest"), np.nan)


def _scatter(raw: list[Floats], smooth: list[Floats], paths: Sequence[Path]) -> float:
    residual = np.concatenate([(r - s)[path.core] for r, s, path in zip(raw, smooth, paths, strict=True)])
    residual = residual[np.isfinite(residual)]
    return 1.4826 * float(np.median(np.abs(residual))) if residual.size else 0.0


def _blur_term(profiles: list[WidthProfile], blur: float, spread: float) -> float:
    fwhm = np.concatenate([profile.fwhm for profile in profiles])
    fwhm = fwhm[np.isfinite(fwhm)]
    if fwhm.size == 0:
        return 0.0
    typical = np.array([np.median(fwhm)])
    low, high = unblurred(typical, blur * (1 + spread)), unblurred(typical, blur * (1 - spread))
    return float(abs(high - low)[0]) / 2


def _shifted(path: Path, profile: WidthProfile) -> Floats:
    """The path moved to the middle of the dark line where the image shows it."""
    shift = np.nan_to_num(profile.shift)
    limit = np.maximum(path.half_width * 0.5, 0.5)
    moved: Floats = path.points + np.clip(shift, -limit, limit)[:, None] * path.normals
    return moved


def _unseen(path: Path) -> WidthProfile:
    nothing = np.full(len(path.points), np.nan)
    return WidthProfile(nothing, nothing)

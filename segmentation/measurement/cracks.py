"""Length and width of a crack, with the ± of the width.

*Length.* Geodesic length of the smoothed centre lines (`segmentation.measurement.skeletons`), which meet where their
lines do (`segmentation.measurement.junctions`), moved to the middle of the dark line where the image shows it and cut
back to its ends where the mask is fat (`segmentation.measurement.ends`).

*Width.* At each place the width of the box that, seen through the raster's blur, fits the image's darkness across the
centre line best (`segmentation.measurement.widths`), then a running median over 7 px along the line, less what noise
explains of its excess over the line's mean (`segmentation.measurement.width_noise`); every 2 px along cracks of 64 px
and more, whose profiles are averaged over more than that. So the largest width of an even crack is its width, and not
its largest error; a widening shorter than some 7 px along the line is flattened, and the ± does not cover that. Where
the image does not tell (low contrast, edge of the data) over more than half of the line, the mask serves instead: the
distance between its edges across the line, capped by its distance transform. `width_method` says which.

*±*, about 95 %, of the largest width and, apart, of the mean width, in ground pixels and then times the GSD:

    profile, largest:  2 · √(0.02² + (0.6 a)² + e² + ((1 − f) m)² + (1.2 f s)² + (0.3 b)²)
    profile, mean:     2 · √(0.02² + (0.45 a)² + e² + m²),   m = 0.5 s · √(24 px / length), at most 0.5 s
    distance:          2 · √(0.35² + scatter²), and at least a quarter of the largest width

To the first is added, in squares, what the largest width exceeds that of the mask there by (times their usual ratio),
if more than 1.5 px: a dark joint or shadow beside a crack looks like width, and no mask bears it out. s is the noise
of one width, the median of the curvature of its likelihood (noise of the background at both edges); a the σ of the
width over all blurs and darknesses that this crack and its raster leave possible (`LineShape.spread_at`);
m the noise of a mean over the length, since grounds are mottled over some 24 px; f the share of the widest place's
excess over the mean that was believed and b what of it was taken off as noise, which may have been real; e what the
places near ends and junctions may add, which no profile shows: 0.7 times their share of the line times the standard
deviation of the widths; 0.35 px the error of mask widths on rendered cracks, and the quarter because a mask may be
drawn fat or thin. The factors were set with cracks of two renderers in view, `tests.segmentation.measurement.rendering`
and `tests.benchmarks.crack_scenes`; `tests.benchmarks.crack_widths` states the shares covered for any seed.

*Below resolution.* A crack is below resolution where even its largest width is less than `min_width_px` times the
GSD, or less than twice the blur (σ) where the raster is soft: a narrower line looks like the blur alone. Its
widths are to be stated as "< that" and never graded. The largest width decides, so that a crack which opens
anywhere to a measurable width is reported with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from shapely.geometry import MultiLineString

from segmentation.georeference import Floats, PixelScale
from segmentation.measurement.appearance import ASSUMED, CrackAppearance
from segmentation.measurement.crack_graph import CrackTrace, TracedPath, crack_figures, stretches
from segmentation.measurement.ends import End, overlong_px
from segmentation.measurement.profiles import Profiles, crack_profiles, joined, unseen
from segmentation.measurement.quantiles import median_of, quantile_of
from segmentation.measurement.skeletons import GroundFrame, Path, centre_paths
from segmentation.measurement.views import ComponentView, Probability, array_view
from segmentation.measurement.width_noise import MOTTLE_PX, beyond_mask, running_median, without_noise
from segmentation.measurement.widths import fitted_widths, line_shape, mask_widths, shown_appearance
from segmentation.records import CrackMeasure

Bools = npt.NDArray[np.bool_]

_SAMPLING_PX = 0.02
_SHAPE_SHARE = 0.6
"""Error of a width per σ of it over blurs and darknesses: the misfit allowed for profiles is more than most have."""
_MEAN_SHAPE_SHARE = 0.45
"""The same for a mean, which no single misfitting place decides."""
_MEAN_NOISE = 0.5
_PLACE_NOISE = 1.2
"""Noise of the widest of many places per noise of one width."""
_REMOVED = 0.3
"""Share of what was taken off the widest place that its ± counts as σ."""
_UNSEEN_ENDS = 0.7
"""Error from the places that no profile shows, per their share and the standard deviation of the widths."""
_DISTANCE_PX = 0.35
_RESOLVED_BLURS = 2.0
"""A line narrower than this many σ of blur looks like the blur alone."""
_STEP_PX = 2.0
"""From width to width along a long crack: profiles are averaged over more than that."""
_LONG_PX = 64
"""A crack whose extent is less is measured every pixel."""
_MOST_POINTS = 400_000
"""More centre line than this is sampled more coarsely, so that the largest map cracking takes bounded memory."""
_MOST_PROFILED_PATHS = 30_000
_PROFILE_POINTS = 200
_LOOK_PX = 160
"""Side of the part of a crack that tells its raster's blur and darkness."""


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
    probability: Probability,
    scale: PixelScale,
    origin: tuple[int, int],
    min_width_px: float,
    appearance: CrackAppearance = ASSUMED,
) -> CrackResult:
    """Length and width of the one crack whose pixels are given, bool ``(H, W)``.

    `image` uint8 ``(H, W, 3)``, `probability` ``(H, W)`` of the class crack of the same window, which should have a
    margin of some 16 px around the crack; `origin` is the window's (row, col) in the raster; `appearance` is what the
    raster's other cracks told (`appearance.pooled`). Raises ValueError where no pixel is set or the shapes differ.
    """
    trace = trace_crack(pixels, image=image, probability=probability, scale=scale, origin=origin, appearance=appearance)
    result = crack_result(trace, labels=None, label=0, min_width_px=min_width_px)
    if result is None:
        raise ValueError("a crack must have a length, got none")
    return result


def appearance_of(
    pixels: Bools, *, image: npt.NDArray[np.uint8], probability: Probability, scale: PixelScale
) -> CrackAppearance:
    """What one crack tells of its raster's blur and of cracks' darkness (`appearance.pooled` puts many together);
    arguments as `measure_crack`. A part of a long crack tells enough: that about the middle one of its pixels."""
    found = np.flatnonzero(pixels)
    middle = divmod(int(found[found.size // 2]), pixels.shape[1]) if found.size else (0, 0)
    near = tuple(slice(max(at - _LOOK_PX // 2, 0), at + _LOOK_PX // 2) for at in middle)
    view = array_view(pixels[near], image=image[near], chance=probability[near])
    _, paths, profiles = _look(view, scale=scale)
    return shown_appearance(profiles, np.concatenate([path.core for path in paths]))


def trace_crack(
    pixels: Bools,
    *,
    image: npt.NDArray[np.uint8],
    probability: Probability,
    scale: PixelScale,
    origin: tuple[int, int],
    appearance: CrackAppearance = ASSUMED,
) -> CrackTrace:
    """Centre lines and widths of one crack; arguments as `measure_crack`."""
    view = array_view(pixels, image=image, chance=probability)
    return trace_view(view, scale=scale, origin=origin, appearance=appearance)


def trace_view(
    view: ComponentView, *, scale: PixelScale, origin: tuple[int, int], appearance: CrackAppearance
) -> CrackTrace:
    """Centre lines and widths of one crack of any size; `origin` is the frame's (row, col) in the raster."""
    frame, paths, profiles = _look(view, scale=scale)
    core = np.concatenate([path.core for path in paths])
    shape = line_shape(profiles, core, appearance)
    fitted, noise = fitted_widths(profiles, shape)
    cuts = np.cumsum([len(path.points) for path in paths])[:-1]
    raw = np.split(np.where(core, fitted, np.nan), cuts)
    running = [running_median(width, path.step) for width, path in zip(raw, paths, strict=True)]
    told = noise[core & np.isfinite(noise)]
    noise_px = median_of(told) if told.size else 0.0
    widths = without_noise(running, noise=noise_px, steps=[path.step for path in paths])
    shifts, full = np.split(profiles.shift, cuts), np.split(profiles.fwhm, cuts)
    corner = np.array(origin, np.float64) + 0.5
    lines = [_shifted(path, shift) for path, shift in zip(paths, shifts, strict=True)]
    cut = _overlong(paths, lines, widths, view=view, frame=frame)
    drawn = _distance_widths(paths, widths, view, frame)
    traced = []
    for n, (path, width) in enumerate(zip(paths, widths, strict=True)):
        line, kept = _cut_back(lines[n], cut[n])
        traced.append(
            TracedPath(
                points=frame.pixel(line) + corner,
                piece_m=np.hypot(*np.diff(line, axis=0).T) * frame.gsd_m,
                width_m=width[kept] * frame.gsd_m,
                removed_m=np.abs(running[n] - width)[kept] * frame.gsd_m,
                distance_width_m=drawn[n][kept] * frame.gsd_m,
                mask_width_m=2 * path.half_width[kept] * frame.gsd_m,
                core=path.core[kept],
                fwhm_px=full[n][kept],
                nodes=path.nodes,
                degrees=path.degrees,
            )
        )
    return CrackTrace(paths=tuple(traced), scale=scale, noise_m=noise_px * frame.gsd_m, shape=shape)


def _look(view: ComponentView, *, scale: PixelScale) -> tuple[GroundFrame, tuple[Path, ...], Profiles]:
    """Centre lines and what the image shows across them."""
    frame = GroundFrame(scale)
    # A skeleton has less pixels than its crack: many pixels are a hint of much line, not more.
    step_px = max(_STEP_PX if max(view.extent) > _LONG_PX else 1.0, view.count / 4 / _MOST_POINTS)
    paths = centre_paths(view, frame=frame, step_px=step_px)
    shown = paths[:_MOST_PROFILED_PATHS]
    profiles = crack_profiles(shown, view=view, frame=frame)
    hidden = sum(len(path.points) for path in paths[len(shown) :])
    return frame, paths, joined(profiles, unseen(hidden)) if hidden else profiles


def crack_result(
    trace: CrackTrace, *, labels: Sequence[npt.NDArray[np.int32]] | None, label: int, min_width_px: float
) -> CrackResult | None:
    """What a trace amounts to, or the part of it that carries a label; None where that part has no length.

    `labels` gives for each path the label ``(N − 1,)`` of each of its pieces; None: everything.
    """
    chosen = [
        np.full(len(path.points) - 1, label, np.int32) if labels is None else labels[n]
        for n, path in enumerate(trace.paths)
    ]
    pieces = [piece_labels == label for piece_labels in chosen]
    lines, length_m = [], 0.0
    for path, own in zip(trace.paths, pieces, strict=True):
        for start, stop in stretches(own):
            lines.append(path.points[start : stop + 1, ::-1])
            length_m += float(path.piece_m[start:stop].sum())
    if not lines:
        return None
    measure = _measure(trace, pieces, length_m=length_m, min_width_px=min_width_px)
    return CrackResult(measure, MultiLineString(lines), measure.max_width_mm < measure.resolvable_width_mm)


def _measure(trace: CrackTrace, pieces: list[Bools], *, length_m: float, min_width_px: float) -> CrackMeasure:
    masks = [_points_of(own) for own in pieces]
    points = np.concatenate([path.points[mask] for path, mask in zip(trace.paths, masks, strict=True)])
    by_profile = np.concatenate([path.width_m[mask] for path, mask in zip(trace.paths, masks, strict=True)])
    by_distance = np.concatenate([path.distance_width_m[mask] for path, mask in zip(trace.paths, masks, strict=True)])
    core = np.concatenate([path.core[mask] for path, mask in zip(trace.paths, masks, strict=True)])
    told = np.isfinite(by_profile)
    # A short part of a crack may have no place that the mask was asked for: the image told them all.
    use_profile = bool(told.sum() >= max(3, core.sum() / 2) or not np.isfinite(by_distance).any())
    if use_profile:
        width, places = by_profile[told], points[told]
        seen = np.concatenate([path.fwhm_px[mask] for path, mask in zip(trace.paths, masks, strict=True)])[told]
        removed = np.concatenate([path.removed_m[mask] for path, mask in zip(trace.paths, masks, strict=True)])[told]
        uncertainty_m, of_mean_m = _uncertainty_m(
            trace, width, removed, seen, length_m=length_m, told_share=told.sum() / told.size
        )
        drawn = np.concatenate([path.mask_width_m[mask] for path, mask in zip(trace.paths, masks, strict=True)])[told]
        beyond_m = beyond_mask(width, mask_width=drawn, at=int(width.argmax()), pixel=trace.gsd_m)
        uncertainty_m = float(np.hypot(uncertainty_m, beyond_m))
    else:
        where = np.isfinite(by_distance)
        where &= core if (core & where).any() else True
        width, places = by_distance[where], points[where]
        scatter = 1.4826 * median_of(np.abs(width - median_of(width)))
        uncertainty_m = 2 * float(np.hypot(_DISTANCE_PX * trace.gsd_m, scatter))
        uncertainty_m = of_mean_m = max(uncertainty_m, float(width.max()) / 4)
    widest = int(width.argmax())
    figures = crack_figures(trace, pieces, by_profile=use_profile)
    return CrackMeasure(
        length_m=length_m,
        max_width_mm=float(width[widest]) * 1e3,
        p95_width_mm=quantile_of(np.sort(width), 0.95) * 1e3,
        mean_width_mm=float(width.mean()) * 1e3,
        width_uncertainty_mm=uncertainty_m * 1e3,
        width_method="profile" if use_profile else "distance",
        widest_at=(float(places[widest, 0]), float(places[widest, 1])),
        resolvable_width_mm=max(min_width_px * trace.gsd_m, _RESOLVED_BLURS * trace.shape.blur_px * trace.gsd_m) * 1e3,
        profile=_longest_profile(trace, masks, use_profile),
        median_width_mm=median_of(width) * 1e3,
        orientation_deg=figures.orientation_deg,
        tortuosity=figures.tortuosity,
        branches=figures.branches,
        ends=figures.ends,
        junction_count=figures.junctions,
        mean_width_uncertainty_mm=of_mean_m * 1e3,
    )


def _uncertainty_m(
    trace: CrackTrace, width: Floats, removed: Floats, seen: Floats, *, length_m: float, told_share: float
) -> tuple[float, float]:
    """± of the largest and of the mean width by profile, in metres, as the module says.

    `width` and `removed` in metres and `seen` in pixels are ``(N,)`` of the places that a profile shows.
    """
    widest = int(width.argmax())
    mean_m = float(width.mean())
    excess_m, removed_m = float(width[widest]) - mean_m, float(removed[widest])
    believed = excess_m / (excess_m + removed_m) if excess_m + removed_m > 0 else 0.0
    length_px = max(length_m * told_share / trace.gsd_m, 1.0)
    of_mean = _MEAN_NOISE * trace.noise_m * min(1.0, (MOTTLE_PX / length_px) ** 0.5)
    ends = _UNSEEN_ENDS * (1 - told_share) * float(width.std())
    shapes = (trace.shape.spread_at(float(seen[widest])), trace.shape.spread_at(median_of(seen)))
    shares = (_SHAPE_SHARE, _MEAN_SHAPE_SHARE)
    shared = [
        (_SAMPLING_PX**2 + (share * one) ** 2) * trace.gsd_m**2 + ends**2
        for share, one in zip(shares, shapes, strict=True)
    ]
    at_widest = shared[0] + ((1 - believed) * of_mean) ** 2
    at_widest += (_PLACE_NOISE * believed * trace.noise_m) ** 2 + (_REMOVED * removed_m) ** 2
    return 2 * float(np.sqrt(at_widest)), 2 * float(np.sqrt(shared[1] + of_mean**2))


def _longest_profile(trace: CrackTrace, masks: list[Bools], use_profile: bool) -> tuple[tuple[float, float], ...]:
    number = int(np.argmax([np.count_nonzero(mask) for mask in masks]))
    path, mask = trace.paths[number], masks[number]
    along = np.concatenate([[0.0], np.cumsum(path.piece_m)])
    width = path.width_m if use_profile else path.distance_width_m
    at = np.flatnonzero(mask & np.isfinite(width))
    at = at[:: max(1, -(-at.size // _PROFILE_POINTS))]
    return tuple(zip((along[at] - along[at[0]]).tolist(), (width[at] * 1e3).tolist(), strict=True))


def _points_of(pieces: Bools) -> Bools:
    """Points that one of the chosen pieces ends at."""
    mask = np.zeros(pieces.size + 1, np.bool_)
    mask[:-1] |= pieces
    mask[1:] |= pieces
    return mask


def _distance_widths(
    paths: Sequence[Path], widths: Sequence[Floats], view: ComponentView, frame: GroundFrame
) -> list[Floats]:
    """Widths ``(N,)`` between the edges of the mask along each path in ground pixels, at least half a pixel; NaN where
    the image tells the width."""
    wanted = [~np.isfinite(width) for width in widths]
    found = mask_widths(paths, wanted=np.concatenate(wanted), view=view, frame=frame)
    split = np.split(np.maximum(found, 0.5), np.cumsum([own.size for own in wanted])[:-1])
    return [running_median(width, path.step) for width, path in zip(split, paths, strict=True)]


def _shifted(path: Path, shift: Floats) -> Floats:
    """The path moved to the middle of the dark line where the image shows it: away from ends and junctions.

    An open end moves with what lies before it; a junction stays where its lines meet.
    """
    known = np.flatnonzero(path.core & np.isfinite(shift))
    if known.size == 0:
        return path.points
    limit = np.maximum(path.half_width[known] * 0.5, 0.5)
    places, moves = known, np.clip(shift[known], -limit, limit)
    for at, degree in ((0, path.degrees[0]), (len(path.points) - 1, path.degrees[1])):
        if degree > 2 and at not in (places[0], places[-1]):
            places, moves = np.insert(places, (at > 0) * places.size, at), np.insert(moves, (at > 0) * moves.size, 0.0)
    moved: Floats = path.points + np.interp(np.arange(len(path.points)), places, moves)[:, None] * path.normals
    return moved


def _overlong(
    paths: Sequence[Path],
    lines: Sequence[Floats],
    widths: Sequence[Floats],
    *,
    view: ComponentView,
    frame: GroundFrame,
) -> list[list[float]]:
    """How far the (first, last) end of each path lies beyond what the image shows, in ground pixels; 0 if not open."""
    told = np.concatenate(list(widths))
    told = told[np.isfinite(told)]
    length_px = sum(path.length for path in paths)
    fat_px = (view.count * frame.pixel_area / length_px - float(told.mean())) / 2 if told.size else 0.0
    cut = [[0.0, 0.0] for _ in paths]
    ends, numbers = [], []
    for n, (path, line, width) in enumerate(zip(paths, lines, widths, strict=True)):
        shown = width[np.isfinite(width)]
        for at in (0, 1):
            if path.degrees[at] == 1 and shown.size:
                ends.append(End(line if at else line[::-1], float(shown.mean())))
                numbers.append((n, at))
    for (n, at), far in zip(numbers, overlong_px(ends, fat_px=fat_px, view=view, frame=frame), strict=True):
        cut[n][at] = far
    return cut


def _cut_back(line: Floats, cut: Sequence[float]) -> tuple[Floats, slice]:
    """The line ``(N, 2)`` with so much cut off its (first, last) end, and which of its points are left."""
    if not any(cut):
        return line, slice(None)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    ends = (cut[0], along[-1] - cut[1])
    kept = slice(int(np.searchsorted(along, ends[0], "right")) - 1, int(np.searchsorted(along, ends[1])) + 1)
    shorter = line[kept].copy()
    for at, end in ((0, ends[0]), (-1, ends[1])):
        shorter[at] = [np.interp(end, along, line[:, axis]) for axis in (0, 1)]
    return shorter, kept

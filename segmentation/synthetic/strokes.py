"""Sub-pixel drawing: how much of each pixel a line of known width covers, and compositing of what covers it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from segmentation.synthetic.noise import Floats, resize
from segmentation.windows import Window

Points = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Spans = npt.NDArray[np.intp]

_BATCH_PIXELS = 200_000
"""Candidate pixels worked on at once: bounds memory, and fits the cache."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A polyline with a width at each vertex: the centre line of a crack, a seam or a cable."""

    vertices: Points
    """(row, col) at pixel corners, ``(N, 2)``, N ≥ 2."""
    widths_px: Points
    """Full width at each vertex, ``(N,)``."""

    @property
    def steps_px(self) -> Points:
        """Length of each segment, ``(N - 1,)``."""
        return np.asarray(np.hypot(*np.diff(self.vertices, axis=0).T), np.float64)

    @property
    def length_px(self) -> float:
        """Length of the polyline."""
        return float(self.steps_px.sum())

    @property
    def mean_width_px(self) -> float:
        """Width averaged along the length."""
        middle = (self.widths_px[1:] + self.widths_px[:-1]) / 2
        return float(np.average(middle, weights=self.steps_px))

    def window(self, margin_px: float) -> Window:
        """Pixel rectangle that holds the stroke with its width and `margin_px` more; may leave the raster."""
        reach = float(self.widths_px.max()) / 2 + margin_px
        low = np.floor(self.vertices.min(axis=0) - reach).astype(int)
        high = np.ceil(self.vertices.max(axis=0) + reach).astype(int)
        return Window(int(low[0]), int(high[0]), int(low[1]), int(high[1]))

    def resampled(self, step_px: float) -> "Stroke":
        """The same line in segments of at most `step_px`."""
        pieces = np.maximum(1, np.ceil(self.steps_px / step_px).astype(int))
        start = np.repeat(np.arange(len(pieces)), pieces)
        first = np.repeat(np.cumsum(pieces) - pieces, pieces)
        t = (np.arange(pieces.sum()) - first) / np.repeat(pieces, pieces)
        points = self.vertices[start] + t[:, None] * (self.vertices[start + 1] - self.vertices[start])
        widths = self.widths_px[start] + t * (self.widths_px[start + 1] - self.widths_px[start])
        return Stroke(np.vstack([points, self.vertices[-1:]]), np.append(widths, self.widths_px[-1]))


def coverage(stroke: Stroke, window: Window, strengths: Points | None = None) -> Floats:
    """Share of each pixel of `window` that the stroke covers, ``(rows, cols)`` float32 in [0, 1].

    A pixel at distance d from the centre line is covered by the overlap of [-w/2, w/2] and [d - 1/2, d + 1/2]: exact
    for lines along an axis, within 0.1 for oblique ones. `strengths` ``(N,)`` scales the coverage along the line.
    """
    height, width = window.shape
    out = np.zeros((height, width), np.float32)
    if strengths is not None:
        stroke, strengths = _with_strengths(stroke, strengths)
    else:
        stroke = stroke.resampled(6.0)
    start = stroke.vertices[:-1] - (window.row_start, window.col_start)
    delta = np.diff(stroke.vertices, axis=0)
    reach = float(stroke.widths_px.max()) / 2 + 1.0
    middle = start + delta / 2
    near = ((middle > -reach - 8) & (middle < np.array([height, width]) + reach + 8)).all(axis=1)
    half_box = int(np.ceil(reach + np.abs(delta).max() / 2))
    offsets = np.arange(-half_box, half_box + 1)
    batch = max(1, _BATCH_PIXELS // offsets.size**2)
    chosen = np.flatnonzero(near)
    for at in range(0, chosen.size, batch):
        s = chosen[at : at + batch]
        _cover_segments(out, s, start, delta, middle, stroke.widths_px, offsets, strengths)
    return out


def _with_strengths(stroke: Stroke, strengths: Points) -> tuple[Stroke, Points]:
    along = np.append(0.0, np.cumsum(stroke.steps_px))
    fine = stroke.resampled(6.0)
    return fine, np.interp(np.append(0.0, np.cumsum(fine.steps_px)), along, strengths)


def _cover_segments(
    out: Floats,
    s: npt.NDArray[np.intp],
    start: Points,
    delta: Points,
    middle: Points,
    widths: Points,
    offsets: npt.NDArray[np.int_],
    strengths: Points | None,
) -> None:
    height, width = out.shape
    rows = np.floor(middle[s, 0]).astype(int)[:, None, None] + offsets[None, :, None]
    cols = np.floor(middle[s, 1]).astype(int)[:, None, None] + offsets[None, None, :]
    d_rows = rows + 0.5 - start[s, 0][:, None, None]
    d_cols = cols + 0.5 - start[s, 1][:, None, None]
    seg_rows, seg_cols = delta[s, 0][:, None, None], delta[s, 1][:, None, None]
    squared = np.maximum(seg_rows**2 + seg_cols**2, 1e-12)
    t = np.clip((d_rows * seg_rows + d_cols * seg_cols) / squared, 0.0, 1.0)
    distance = np.hypot(d_rows - t * seg_rows, d_cols - t * seg_cols)
    first, last = widths[s][:, None, None], widths[s + 1][:, None, None]
    half = (first + t * (last - first)) / 2
    value = np.clip(np.minimum(half, distance + 0.5) - np.maximum(-half, distance - 0.5), 0.0, 1.0)
    if strengths is not None:
        a, b = strengths[s][:, None, None], strengths[s + 1][:, None, None]
        value *= a + t * (b - a)
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width) & (value > 0)
    index = (rows * width + cols)[inside]
    np.maximum.at(out.reshape(-1), index, value[inside].astype(np.float32))


def centre_pixels(stroke: Stroke, window: Window, *, below_width_px: float) -> Bools:
    """Pixels of `window` on the centre line where the stroke is thinner than `below_width_px`, ``(rows, cols)``."""
    out = np.zeros(window.shape, bool)
    fine = stroke.resampled(0.25)
    pixels = np.floor(fine.vertices[fine.widths_px < below_width_px]).astype(int) - (window.row_start, window.col_start)
    inside = ((pixels >= 0) & (pixels < window.shape)).all(axis=1)
    out[tuple(pixels[inside].T)] = True
    return out


def spots(
    window: Window, centres: Points, radii_px: Points, angles: Points, *, flatness: float, soft_px: float
) -> Floats:
    """Opacity ``(rows, cols)`` of ellipses at `centres` ``(N, 2)``; minor axis = `flatness` × major axis."""
    height, width = window.shape
    out = np.zeros((height, width), np.float32)
    if radii_px.size == 0:
        return out
    local = centres - (window.row_start, window.col_start)
    reach = float(radii_px.max()) + soft_px + 1
    near = np.flatnonzero(((local > -reach) & (local < np.array([height, width]) + reach)).all(axis=1))
    offsets = np.arange(-int(reach) - 1, int(reach) + 2)
    batch = max(1, _BATCH_PIXELS // offsets.size**2)
    for at in range(0, near.size, batch):
        s = near[at : at + batch]
        rows = np.floor(local[s, 0]).astype(int)[:, None, None] + offsets[None, :, None]
        cols = np.floor(local[s, 1]).astype(int)[:, None, None] + offsets[None, None, :]
        d_rows, d_cols = rows + 0.5 - local[s, 0][:, None, None], cols + 0.5 - local[s, 1][:, None, None]
        cos, sin = np.cos(angles[s])[:, None, None], np.sin(angles[s])[:, None, None]
        distance = np.hypot(d_rows * cos + d_cols * sin, (d_cols * cos - d_rows * sin) / flatness)
        value = np.clip((radii_px[s][:, None, None] - distance) / max(soft_px, 0.3) + 0.5, 0.0, 1.0)
        inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width) & (value > 0)
        np.maximum.at(out.reshape(-1), (rows * width + cols)[inside], value[inside].astype(np.float32))
    return out


def polygon_opacity(window: Window, vertices: Points, *, soft_px: float) -> Floats:
    """Opacity ``(rows, cols)`` of the polygon `vertices` ``(N, 2)``, its edge blurred by `soft_px`."""
    shrink = 4 if soft_px >= 4.0 else 1
    margin = int(np.ceil(3 * soft_px / shrink)) if soft_px >= 0.2 else 0
    rows, cols = (-(-n // shrink) + 2 * margin for n in window.shape)
    picture = Image.new("L", (cols * shrink, rows * shrink))
    local = vertices - (window.row_start, window.col_start) + margin * shrink - 0.5
    ImageDraw.Draw(picture).polygon([(float(c), float(r)) for r, c in local], fill=255)
    picture = picture.reduce(shrink)
    opacity = blurred(np.asarray(picture, np.float32) / np.float32(255), soft_px / shrink)
    if shrink == 1:
        return opacity[margin : margin + window.shape[0], margin : margin + window.shape[1]]
    box = (margin, margin, margin + window.shape[1] / shrink, margin + window.shape[0] / shrink)
    return resize(opacity, window.shape, box)


def convex_spans(vertices: Points, height: int, width: int) -> tuple[int, Spans]:
    """Pixels of a raster whose centres lie in the convex polygon `vertices` ``(N, 2)``: its first row, and for it and
    each row below the half-open column span, ``(rows, 2)``.
    """
    first = int(np.clip(np.ceil(vertices[:, 0].min() - 0.5), 0, height))
    stop = int(np.clip(np.ceil(vertices[:, 0].max() - 0.5), first, height))
    centres = np.arange(first, stop) + 0.5
    left, right = np.full(centres.size, np.inf), np.full(centres.size, -np.inf)
    for a, b in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if a[0] == b[0]:
            continue
        t = (centres - a[0]) / (b[0] - a[0])
        cols = np.where((t >= 0) & (t <= 1), a[1] + t * (b[1] - a[1]), np.nan)
        left, right = np.fmin(left, cols), np.fmax(right, cols)
    spans = np.ceil(np.stack([left, right], axis=1) - 0.5)
    return first, np.clip(np.nan_to_num(spans, posinf=0, neginf=0), 0, width).astype(np.intp)


def blurred(field: Floats, sigma_px: float) -> Floats:
    """Gaussian blur of ``(H, W)``; unchanged for a sigma below 0.2 pixels."""
    if sigma_px < 0.2:
        return field
    return np.asarray(ndimage.gaussian_filter(field, sigma_px, mode="nearest", truncate=3.0), np.float32)


def composite(image: Floats, opacity: Floats, colour: Floats) -> None:
    """Lay `colour` ((3,) or ``(H, W, 3)``) over `image` ``(H, W, 3)`` in place with `opacity` ``(H, W)``."""
    image += opacity[..., None] * (colour - image)

"""The demo's steel truss panel: painted members, gussets, rivets, shadows, rust of known area; no data between."""

from dataclasses import dataclass

import numpy as np
from shapely import affinity, contains_xy
from shapely.geometry import MultiPolygon, Polygon
from shapely.ops import unary_union

from segmentation.synthetic.cracks import CrackLook
from segmentation.synthetic.deck import PlannedCrack, place_crack
from segmentation.synthetic.distractors import rivet_light
from segmentation.synthetic.noise import Floats
from segmentation.synthetic.photograph import Bytes
from segmentation.synthetic.rust import RustLook, RustPatch, rust_patch
from segmentation.synthetic.scenes import Canvas, Scene
from segmentation.synthetic.strokes import Points, Stroke, convex_spans, coverage, polygon_opacity
from segmentation.synthetic.surfaces import LayeredSurface, painted_steel
from segmentation.windows import Window

GSD_M = 0.0012
_HEIGHT_PX, _WIDTH_PX = 4000, 6000
_BAND_ROWS = 384
_PAINT = (0.50, 0.55, 0.53)
_COATING_CRACKS = (PlannedCrack(0.9, 3.0, 0.05, 0), PlannedCrack(0.5, 4.0, 0.10, 1))


@dataclass(frozen=True, slots=True)
class Member:
    """One plate or bar of the panel, painted in the order of a list: later ones lie on top."""

    outline: Points
    """Corners (row, col), ``(N, 2)``."""
    axis: Points
    """Start and end of its middle line, ``(2, 2)``."""
    width_px: float
    """Width across the axis."""
    brightness: float
    """Light that it gets relative to the panel."""
    is_plate: bool
    """Gusset plates have rivets over their face, bars have flanges along their edges."""


def truss_scene(rng: np.random.Generator, *, scale: float) -> Scene:
    """The panel; `scale` below 1 gives a smaller panel at the same GSD, with smaller members and fewer patches."""
    shape = (round(_HEIGHT_PX * scale), round(_WIDTH_PX * scale))
    canvas = Canvas(shape, GSD_M)
    members = truss_members(rng, shape)
    labels = _labels(members, shape)
    canvas.validity = labels > 0
    surface = painted_steel(rng, shape, scale=1.6, paint=_PAINT)
    canvas.cover(_LitSurface(surface, labels, np.array([0.0, *(m.brightness for m in members)], np.float32)))
    for number, member in enumerate(members, start=1):
        _paint_details(canvas, labels, number, member, scale)
    _add_coating_cracks(rng, canvas, scale)
    _add_rust(rng, canvas, members, scale)
    _beam_shadow(canvas)
    canvas.image[~canvas.validity] = 0
    footprint = unary_union([Polygon(m.outline[:, ::-1]) for m in members]).intersection(
        Polygon([(0, 0), (shape[1], 0), (shape[1], shape[0]), (0, shape[0])])
    )
    if not isinstance(footprint, Polygon | MultiPolygon):
        raise TypeError(f"the members must make up an area, got {footprint.geom_type}")
    truth = canvas.truth(footprint)
    return Scene("truss", "truss panel", "steel", canvas.image, canvas.validity, canvas.mask, truth)


@dataclass(frozen=True, slots=True)
class _LitSurface:
    surface: LayeredSurface
    labels: Bytes
    brightness: Floats

    def render(self, window: Window) -> Floats:
        gain = self.brightness[self.labels[window.slices()]]
        return np.asarray(self.surface.render(window) * gain[..., None], np.float32)


def truss_members(rng: np.random.Generator, shape: tuple[int, int]) -> list[Member]:
    """Two bays of a Warren truss with verticals: diagonals, posts, chords, then gussets on top."""
    height, width = shape
    top, bottom = 0.13 * height, 0.87 * height
    nodes = [0.13 * width, 0.5 * width, 0.87 * width]
    halves = [(nodes[0] + nodes[1]) / 2, (nodes[1] + nodes[2]) / 2]
    bars: list[tuple[tuple[float, float], tuple[float, float], float]] = []
    for left, middle, right in ((nodes[0], halves[0], nodes[1]), (nodes[1], halves[1], nodes[2])):
        bars += [((bottom, left), (top, middle), 0.062), ((top, middle), (bottom, right), 0.062)]
    bars += [((top, col), (bottom, col), 0.055) for col in (*nodes, *halves)]
    bars += [((row, 0.015 * width), (row, 0.985 * width), 0.11) for row in (top, bottom)]
    members = [_bar(a, b, share * height, float(rng.uniform(0.86, 1.14))) for a, b, share in bars]
    for row, cols in ((bottom, nodes), (top, halves)):
        members += [_gusset(row, col, height, inward=-1.0 if row == bottom else 1.0) for col in cols]
    return members


def _bar(start: tuple[float, float], stop: tuple[float, float], width_px: float, brightness: float) -> Member:
    axis = np.array([start, stop])
    along = (axis[1] - axis[0]) / np.hypot(*(axis[1] - axis[0]))
    normal = np.array([-along[1], along[0]]) * width_px / 2
    outline = np.array([axis[0] + normal, axis[1] + normal, axis[1] - normal, axis[0] - normal])
    return Member(outline, axis, width_px, brightness, is_plate=False)


def _gusset(row: float, col: float, height: int, *, inward: float) -> Member:
    half, near, far = 0.155 * height, 0.048 * height, 0.165 * height * inward
    corners = [(row - near * inward, col - half), (row - near * inward, col + half), (row + 0.4 * far, col + half)]
    corners += [(row + far, col + 0.45 * half), (row + far, col - 0.45 * half), (row + 0.4 * far, col - half)]
    axis = np.array([[row, col - half], [row, col + half]])
    return Member(np.array(corners), axis, 2 * near, 1.04, is_plate=True)


def _labels(members: list[Member], shape: tuple[int, int]) -> Bytes:
    labels = np.zeros(shape, np.uint8)
    for number, member in enumerate(members, start=1):
        first, spans = convex_spans(member.outline, *shape)
        for row, (start, stop) in enumerate(spans, start=first):
            labels[row, start:stop] = number
    return labels


def _paint_details(canvas: Canvas, labels: Bytes, number: int, member: Member, scale: float) -> None:
    reach = 40.0 * scale
    centres, radius = _rivets(member, scale)

    def paint(colours: Floats, window: Window) -> None:
        here = labels[window.slices()] == number
        below = labels[window.slices()] < number
        cast = polygon_opacity(window, member.outline + 0.35 * reach, soft_px=0.3 * reach)
        light = np.where(below, 1 - np.float32(0.55) * cast, np.float32(1.0)).astype(np.float32)
        light[here] *= (_edges(member, window, scale) * rivet_light(window, centres, radius, 0.2))[here]
        colours *= light[..., None]

    first, spans = convex_spans(member.outline, *canvas.shape)
    margin = int(2 * reach)
    for at in range(-margin, len(spans) + margin, _BAND_ROWS):
        part = spans[max(at - margin, 0) : max(at + _BAND_ROWS + margin, 0)]
        part = part[part[:, 1] > part[:, 0]]
        if len(part):
            rows = (first + at, first + min(at + _BAND_ROWS, len(spans) + margin))
            canvas.change(Window(*rows, int(part[:, 0].min()) - margin, int(part[:, 1].max()) + margin), paint)


def _edges(member: Member, window: Window, scale: float) -> Floats:
    light = np.ones(window.shape, np.float32)
    closed = np.vstack([member.outline, member.outline[:1]])
    rim = Stroke(closed, np.full(len(closed), 5.0))
    light += np.float32(0.14) * coverage(rim, window)
    if member.is_plate:
        return light
    along = (member.axis[1] - member.axis[0]) / np.hypot(*(member.axis[1] - member.axis[0]))
    normal = np.array([-along[1], along[0]])
    for side, tone in ((0.30, -0.30), (-0.30, 0.16), (0.33, 0.12), (-0.33, -0.22)):
        line = Stroke(member.axis + side * member.width_px * normal, np.full(2, 7.0 * max(scale, 0.4)))
        light += np.float32(tone) * coverage(line, window)
    return light


def _rivets(member: Member, scale: float) -> tuple[Points, float]:
    radius = 13.0 * max(scale, 0.3)
    if not member.is_plate:
        along = member.axis[1] - member.axis[0]
        length = float(np.hypot(*along))
        unit, normal = along / length, np.array([-along[1], along[0]]) / length
        steps = np.arange(6 * radius, length, 14 * radius)
        rows = [member.axis[0] + steps[:, None] * unit + side * member.width_px * normal for side in (-0.41, 0.41)]
        return np.vstack(rows), 0.8 * radius
    inner = Polygon(member.outline).buffer(-2.2 * radius)
    low, high = member.outline.min(axis=0), member.outline.max(axis=0)
    pitch = 5.5 * radius
    grid = np.array([(r, c) for r in np.arange(low[0], high[0], pitch) for c in np.arange(low[1], high[1], pitch)])
    ring = inner.difference(affinity.scale(inner, 0.45, 0.45))
    return grid[contains_xy(ring, grid[:, 0], grid[:, 1])], radius


def _add_coating_cracks(rng: np.random.Generator, canvas: Canvas, scale: float) -> None:
    for planned in _COATING_CRACKS[: 2 if scale > 0.5 else 1]:
        crack = place_crack(rng, canvas, planned, scale)
        if crack is not None:
            look = CrackLook(darkness=0.9, tint=(0.08, 0.07, 0.06), unevenness=0.15, soft_px=0.7, shoulder=0.0)
            canvas.add_crack(crack, look, rng)


def _add_rust(rng: np.random.Generator, canvas: Canvas, members: list[Member], scale: float) -> None:
    wanted_px = 0.022 * float(np.count_nonzero(canvas.validity))
    painted_px, tries = 0, 0
    while painted_px < wanted_px and tries < 2000:
        tries += 1
        member = members[int(rng.integers(len(members)))]
        t, across = float(rng.uniform(0.03, 0.97)), float(rng.choice([rng.uniform(-0.5, 0.5), 0.42, -0.42]))
        along = member.axis[1] - member.axis[0]
        normal = np.array([-along[1], along[0]]) / np.hypot(*along)
        centre = member.axis[0] + t * along + across * member.width_px * normal
        patch = _random_patch(rng, (float(centre[0]), float(centre[1])), scale)
        if canvas.is_damaged(patch.window):
            continue
        look = RustLook(
            brightness=float(rng.uniform(0.25, 0.75)),
            contrast=float(rng.uniform(0.7, 1.1)),
            opacity=float(rng.uniform(0.93, 1.0)),
            soft_px=0.7,
            saturation=float(rng.uniform(0.75, 1.1)),
        )
        painted_px += canvas.add_rust(patch, look, rng)


def _random_patch(rng: np.random.Generator, centre: tuple[float, float], scale: float) -> RustPatch:
    radius = float(np.exp(rng.uniform(np.log(7.0), np.log(110.0 * max(scale, 0.25)))))
    has_runs = radius > 15 and rng.random() < 0.45
    return rust_patch(
        rng,
        centre=centre,
        radius_px=radius,
        raggedness=float(rng.uniform(0.6, 1.2)),
        speckle=float(rng.uniform(0.1, 0.7)),
        runs=int(rng.integers(1, 5)) if has_runs else 0,
        run_length_px=radius * float(rng.uniform(1.5, 4.0)),
        stain=float(rng.uniform(0.2, 0.8)),
    )


def _beam_shadow(canvas: Canvas) -> None:
    height, width = canvas.shape
    band = np.array(
        [[-9.0, 0.28 * width], [-9.0, 0.36 * width], [height + 9, 0.62 * width], [height + 9, 0.54 * width]]
    )

    def darken(colours: Floats, window: Window) -> None:
        opacity = polygon_opacity(window, band, soft_px=1.5)
        colours *= 1 - opacity[..., None] * np.array([0.46, 0.44, 0.40], np.float32)

    for start in range(0, height, _BAND_ROWS):
        low, high = ((0.28 + 0.26 * row / height) * width for row in (start - 20, start + _BAND_ROWS + 20))
        rows = (start, start + _BAND_ROWS)
        canvas.change(Window(*rows, int(low) - 60, int(high + 0.08 * width) + 60), darken)

"""Registration of two surveys of one structure from their pictures, sub-pixel, with its residual; never by CRS alone.

From coarse to fine: a search over turned and scaled trials finds the way in, then local phase correlations on a
bounded number of tiles per level are fitted by RANSAC (Fischler and Bolles, 1981). What is read is a bounded number
of small pictures, whatever the size of the structure.
"""

import warnings
from dataclasses import dataclass
from math import ceil, log2, sqrt
from typing import Final

import numpy as np
from skimage.measure import ransac
from skimage.transform import SimilarityTransform

from segmentation.comparison.grids import Extent, ReadPlane, grid_around, resampled, tile_centres
from segmentation.comparison.held import ROOM, HeldPictures
from segmentation.comparison.local_shifts import best_of, local_shifts
from segmentation.comparison.repeats import elsewhere
from segmentation.comparison.similarity import IDENTITY, Points, Similarity, similarity_of
from segmentation.errors import InputRejected

IMAGERY: Final = "imagery"
_SEARCH_PX = 384
_TILE_PX = 256
_LEAST_TILE_PX = 48
_TILES_PER_SIDE: Final = (3, 6)
"""More are looked at where the first do not agree."""
_NEAR_PX = 2.0
"""Tiles that lie farther apart than this are cut again where the first fit lays them."""
_LEAST_SURE, _SURE_SHARE = 12, 0.7
_TURNS_DEG: Final = (-2.4, -1.6, -0.8, 0.0, 0.8, 1.6, 2.4)
_SCALES: Final = (0.96, 0.98, 1.0, 1.02, 1.04)
_AGREED_PX = 1.5
"""Tiles whose shift is farther from the fit than this do not agree with it."""
_LEAST_SHARPNESS = 8.0
_LEAST_TILES = 6
_LEAST_SHARE = 0.25
"""Answers of tiles that must agree with the fit, and their share of all."""


@dataclass(frozen=True, slots=True)
class RegistrationLimits:
    """Beyond these a registration is not trusted."""

    max_shift_share: float
    """Shift of the middle over the shorter side of the structure."""
    max_rotation_deg: float
    max_scale_change: float
    """Greatest |scale - 1|."""
    max_residual_px: float
    """RMS of the tiles that agree, in pixels of the common GSD."""


@dataclass(frozen=True, slots=True)
class Registration:
    """How the older survey lies on the newer one."""

    older_to_newer: Similarity
    residual_m: float
    """RMS distance by which the tiles that agree miss the fit: local distortion and the measurement's own noise."""
    gsd_m: float
    """The common GSD: the coarser of the two."""
    agreed: int
    """Answers of tiles that agree with the fit."""
    answers: int
    """All answers of the level that decided."""
    of: str
    """``imagery`` or ``masks``: what was registered."""

    @property
    def residual_px(self) -> float:
        """The residual in pixels of the common GSD."""
        return self.residual_m / self.gsd_m

    @property
    def shift_px(self) -> float:
        """The shift of the structure's middle in those pixels."""
        return self.older_to_newer.shift_m / self.gsd_m

    def scale_uncertainty(self, extent: Extent) -> float:
        """± of the scale, about 95 %: the residual of the tiles over the reach of the tiles."""
        return 2 * self.residual_m / sqrt(max(self.agreed, 1)) / max(extent.longest_m / 4, self.gsd_m)


@dataclass(frozen=True, slots=True)
class _Fit:
    similarity: Similarity
    residual_m: float
    agreed: int
    """0 where too few agree: then the similarity is the guess."""
    answers: int

    @property
    def is_sure(self) -> bool:
        """Whether nearly all places agree, so that no further one would change it."""
        return self.agreed >= _LEAST_SURE and self.agreed >= _SURE_SHARE * self.answers


def register(
    read_older: ReadPlane,
    read_newer: ReadPlane,
    extent: Extent,
    *,
    gsd_m: float,
    of: str,
    subject: str,
    limits: RegistrationLimits,
) -> Registration:
    """Register the older survey on the newer one.

    Raises InputRejected E_NOT_REGISTERED where too few places agree or where they agree as well on another fit, one
    period of a repeated surface away, E_REGISTRATION_LIMIT where they agree on more than `limits` trust.
    """
    finest_older, finest_newer = (HeldPictures(read, extent, step_m=gsd_m) for read in (read_older, read_newer))
    best, answers = _near_by(finest_older, finest_newer, extent, gsd_m=gsd_m), 0
    for number, step_px in enumerate(level_steps(extent, gsd_m) if not best.agreed else ()):
        step_m = gsd_m * step_px
        older, newer = finest_older, finest_newer
        if step_px > 1:
            older, newer = (HeldPictures(read, extent, step_m=step_m) for read in (read_older, read_newer))
        found = _refined(older, newer, extent, best.similarity, step_m=step_m)
        if number == 0 and not found.is_sure:
            way_in = _search(read_older, read_newer, extent, gsd_m=gsd_m)
            if way_in is not None:
                found = max(found, _refined(older, newer, extent, way_in, step_m=step_m), key=lambda fit: fit.agreed)
        answers = max(answers, found.answers)
        if found.agreed:
            best = found
    if not best.agreed:
        raise InputRejected(
            "E_NOT_REGISTERED",
            subject,
            f"at least {_LEAST_TILES} places of both surveys must agree on how they lie on each other, got none "
            f"such among {answers} answers",
            "compare surveys that show the same surface of it, or mend the older one's georeference",
        )
    made = Registration(best.similarity, best.residual_m, gsd_m, best.agreed, best.answers, of)
    _check_limits(made, extent, subject, limits)
    other = None
    if of == IMAGERY:  # masks hold a few defects, and nothing of what repeats
        other = elsewhere(finest_older, finest_newer, extent, made.older_to_newer, gsd_m=gsd_m)
    if other is not None:
        raise InputRejected(
            "E_NOT_REGISTERED",
            subject,
            "the surveys must lie on each other in one way alone, got a surface that repeats itself, on which they lie "
            f"about as well {other:.3g} m away",
            "mend the older survey's georeference, or compare surveys of a surface that differs from place to place",
        )
    return made


def level_steps(extent: Extent, gsd_m: float) -> tuple[int, ...]:
    """Pixels of the common GSD per pixel of each level, from coarse to fine; the last is 1.

    >>> level_steps(Extent(4.8, 3.0), 0.0015)
    (16, 4, 1)
    """
    coarsest = 2 ** max(0, ceil(log2(extent.longest_m / gsd_m / (2.5 * _TILE_PX))))
    steps = []
    while coarsest > 1:
        steps.append(coarsest)
        coarsest //= 4
    return (*steps, 1)


def _near_by(older: HeldPictures, newer: HeldPictures, extent: Extent, *, gsd_m: float) -> _Fit:
    """The fit of few tiles at full scale where the surveys lie so near that nearly all agree at once; else none."""
    fit = _of_tiles(older, newer, extent, IDENTITY, step_m=gsd_m, per_side=_TILES_PER_SIDE[0])
    if not fit.is_sure:
        return _Fit(IDENTITY, float("inf"), 0, 0)
    corner = np.array([[extent.half_width_m, extent.half_height_m], [-extent.half_width_m, extent.half_height_m]])
    if np.hypot(*(fit.similarity.of(corner) - corner).T).max() <= _NEAR_PX * gsd_m:
        return fit
    again = _of_tiles(older, newer, extent, fit.similarity, step_m=gsd_m, per_side=_TILES_PER_SIDE[0])
    return again if again.is_sure else fit


def _search(read_older: ReadPlane, read_newer: ReadPlane, extent: Extent, *, gsd_m: float) -> Similarity | None:
    """A way in: of turned and scaled trials on small pictures of the whole the one that lies best."""
    step_m = max(gsd_m, extent.longest_m / _SEARCH_PX)
    height, width = (
        max(_LEAST_TILE_PX, ceil(2 * half / step_m)) for half in (extent.half_height_m, extent.half_width_m)
    )
    grid = grid_around(np.zeros(2), side_px=(height, width), step_m=step_m)
    trials = [Similarity(scale, turn, 0.0, 0.0) for turn in _TURNS_DEG for scale in _SCALES]
    # Read once, with room around it: every trial is turned and scaled in memory.
    room = tuple(int(side * ROOM) for side in (height, width))
    around = grid_around(np.zeros(2), side_px=(room[0], room[1]), step_m=step_m)
    older = read_older(around, (room[0], room[1]))
    to_older = np.linalg.inv(around)
    pictures = (resampled(older, to_older @ trial.inverse().matrix() @ grid, (height, width)) for trial in trials)
    best = best_of(read_newer(grid, (height, width)), pictures)
    if best is None or best.sharpness < _LEAST_SHARPNESS:
        return None
    down, right = best.shift
    return Similarity(1.0, 0.0, right * step_m, -down * step_m).after(trials[best.index])


def _refined(older: HeldPictures, newer: HeldPictures, extent: Extent, guess: Similarity, *, step_m: float) -> _Fit:
    """The guess corrected by the shifts of tiles at one scale: of few where they agree, else of more."""
    fits = (_of_tiles(older, newer, extent, guess, step_m=step_m, per_side=n) for n in _TILES_PER_SIDE)
    few = next(fits)
    return few if few.is_sure else next(fits)


def _of_tiles(
    older: HeldPictures, newer: HeldPictures, extent: Extent, guess: Similarity, *, step_m: float, per_side: int
) -> _Fit:
    shorter_px = 2 * min(extent.half_width_m, extent.half_height_m) / step_m
    tile_px = int(min(_TILE_PX, max(_LEAST_TILE_PX, shorter_px / 2)))
    at_newer, at_older = [], []
    back = guess.inverse()
    for centre in tile_centres(extent, tile_m=tile_px * step_m, per_side=per_side):
        grid = grid_around(centre, side_px=(tile_px, tile_px), step_m=step_m)
        ours = newer.surface(grid, (tile_px, tile_px))
        theirs = None if ours is None else older.surface(back.matrix() @ grid, (tile_px, tile_px))
        for down, right in local_shifts(ours, theirs):
            at_older.append(centre)
            at_newer.append((centre[0] + right * step_m, centre[1] - down * step_m))
    return _fitted(np.array(at_older), np.array(at_newer), guess, step_m=step_m)


def _fitted(source: Points, target: Points, guess: Similarity, *, step_m: float) -> _Fit:
    count = len(source)
    if count < _LEAST_TILES:
        return _Fit(guess, float("inf"), 0, count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no agreement is an answer here, told by None
        model, inliers = ransac(
            (source, target),
            SimilarityTransform,
            min_samples=2,
            residual_threshold=_AGREED_PX * step_m,
            max_trials=400,
            rng=np.random.default_rng(0),
        )
    agreed = 0 if inliers is None or not model else int(inliers.sum())
    if agreed < _LEAST_TILES or agreed < _LEAST_SHARE * count:
        return _Fit(guess, float("inf"), 0, count)
    misses = model.residuals(source[inliers], target[inliers])
    correction = similarity_of(np.asarray(model.params, np.float64))
    return _Fit(correction.after(guess), float(np.sqrt(np.mean(misses**2))), agreed, count)


def _check_limits(made: Registration, extent: Extent, subject: str, limits: RegistrationLimits) -> None:
    found = made.older_to_newer
    most_m = limits.max_shift_share * 2 * min(extent.half_width_m, extent.half_height_m)
    beyond = []
    if found.shift_m > most_m:
        beyond.append(f"a shift of {found.shift_m:.3g} m where {most_m:.3g} m are trusted")
    if abs(found.rotation_deg) > limits.max_rotation_deg:
        beyond.append(f"a rotation of {found.rotation_deg:.2f}° where {limits.max_rotation_deg:g}° are trusted")
    if abs(found.scale - 1) > limits.max_scale_change:
        beyond.append(f"a scale of {found.scale:.3f} where 1 ± {limits.max_scale_change:g} is trusted")
    if made.residual_px > limits.max_residual_px:
        beyond.append(f"a residual of {made.residual_px:.1f} px where {limits.max_residual_px:g} px are trusted")
    if beyond:
        raise InputRejected(
            "E_REGISTRATION_LIMIT",
            subject,
            f"the surveys must lie nearly on each other, got {' and '.join(beyond)}",
            "check the georeference of both surveys, and that both show this structure",
        )

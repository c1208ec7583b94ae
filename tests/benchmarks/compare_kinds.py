"""Kinds of survey pairs for the benchmarks of comparison: surfaces, thin cracks, blur, JPEG, few defects."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from segmentation.comparison.similarity import Similarity
from segmentation.synthetic.masonry import masonry
from segmentation.synthetic.noise import Floats, fractal_field
from segmentation.synthetic.surfaces import concrete
from segmentation.synthetic.survey_pairs import PaintedSurvey, PairTraits, SurveyPair, survey_pair
from segmentation.synthetic.textures import gravel, pavers, planks
from segmentation.windows import Window

Painter = Callable[[np.random.Generator, tuple[int, int]], Floats]
MOST_SHIFT_PX, MOST_ROTATION_DEG, MOST_SCALE_CHANGE = 30.0, 2.0, 0.03
_GSDS_M: Final = (0.0013, 0.0015, 0.0018, 0.0020, 0.0022)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of pair."""

    traits: PairTraits = field(default_factory=PairTraits)
    blur_px: tuple[float, float] = (0.0, 0.0)
    """Sigma of the older and of the newer picture's blur."""
    jpeg_quality: int | None = None
    """Of both pictures; None: they are kept as they are."""
    is_same_gsd: bool = False


def _whole(shape: tuple[int, int]) -> Window:
    return Window(0, shape[0], 0, shape[1])


def cast_concrete(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Cast concrete as the training scenes have it, mean of its bands."""
    finish = str(rng.choice(["cast", "brushed", "aggregate"]))
    picture = concrete(rng, shape, scale=1.0, finish=finish, grey=0.6).render(_whole(shape))
    return np.asarray(picture.mean(axis=2) * 255, np.float32)


def pale_coat(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """A coat of paint: hardly any texture, two grey levels of it, and no joint."""
    broad = fractal_field(rng, shape, coarsest_px=900, finest_px=60, persistence=0.6).window(_whole(shape))
    fine = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 1.5) * 5.3
    return np.asarray(165 + 3.0 * broad + 1.0 * fine, np.float32)


def bricks(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """A brick wall, its bricks much alike."""
    picture = masonry(rng, shape, scale=1.2).render(_whole(shape))
    return np.asarray(np.clip(picture.mean(axis=2) * 255 + 40, 60, 250), np.float32)


def equal_slabs(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Slabs whose joints repeat to the pixel, with a weak texture of their own."""
    side = int(rng.integers(60, 130))
    rows, cols = np.arange(shape[0])[:, None] % side, np.arange(shape[1])[None, :] % (2 * side)
    joints = ndimage.gaussian_filter(((rows < 5) | (cols < 5)).astype(np.float32), 1.0)
    fine = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 1.3) * 4.6
    return np.asarray(170 - 60 * joints + 4.0 * fine, np.float32)


def _brightened(paint: Painter) -> Painter:
    def painted(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        picture = paint(rng, shape).mean(axis=2)
        return np.asarray(np.clip(150 + 120 * (picture - picture.mean()), 60, 250), np.float32)

    return painted


_THIN: Final = (0.0030, 0.0045)
_FEW: Final = {"NEW": 1, "GROWN": 1, "STATIC": 2, "REPAIRED": 1, "NOT SEEN": 0}
KINDS: Final[dict[str, Kind]] = {
    "slabs": Kind(),
    "concrete": Kind(PairTraits(cast_concrete)),
    "pale": Kind(PairTraits(pale_coat)),
    "brick": Kind(PairTraits(bricks)),
    "equal-slabs": Kind(PairTraits(equal_slabs)),
    "planks": Kind(PairTraits(_brightened(planks))),
    "pavers": Kind(PairTraits(_brightened(pavers))),
    "gravel": Kind(PairTraits(_brightened(gravel))),
    "thin": Kind(PairTraits(crack_width_m=_THIN)),
    "blurred": Kind(blur_px=(0.6, 1.4)),
    "jpeg": Kind(jpeg_quality=40),
    "few": Kind(PairTraits(cast_concrete, counts=_FEW)),
    "few-pale": Kind(PairTraits(pale_coat, counts=_FEW)),
    "worn": Kind(PairTraits(cast_concrete, crack_width_m=_THIN), blur_px=(1.2, 0.5), jpeg_quality=50),
}


def drawn_pair(kind: Kind, seed: int) -> SurveyPair:
    """The pair of a seed, its misplacement and second GSD drawn from it within the limits of this module."""
    rng = np.random.default_rng([seed, 9])
    gsd_m = 0.0015 if kind.is_same_gsd else float(rng.choice(_GSDS_M))
    way, shift_m = rng.uniform(0, 2 * np.pi), MOST_SHIFT_PX * rng.uniform(0.2, 1.0) * gsd_m
    error = Similarity(
        1 + float(rng.uniform(-MOST_SCALE_CHANGE, MOST_SCALE_CHANGE)),
        float(rng.uniform(-MOST_ROTATION_DEG, MOST_ROTATION_DEG)),
        float(shift_m * np.cos(way)),
        float(shift_m * np.sin(way)),
    )
    pair = survey_pair(seed, error=error, newer_gsd_m=gsd_m, traits=kind.traits)
    older, newer = (
        _photographed(one, blur_px=blur_px, quality=kind.jpeg_quality)
        for one, blur_px in zip((pair.older, pair.newer), kind.blur_px, strict=True)
    )
    return replace(pair, older=older, newer=newer)


def _photographed(painted: PaintedSurvey, *, blur_px: float, quality: int | None) -> PaintedSurvey:
    image: npt.NDArray[np.uint8] = painted.image
    if blur_px > 0:
        image = np.stack([ndimage.gaussian_filter(image[..., band], blur_px) for band in range(3)], axis=2)
    if quality is not None:
        held = BytesIO()
        Image.fromarray(image).save(held, "JPEG", quality=quality)
        image = np.asarray(Image.open(held))
    return replace(painted, image=image)

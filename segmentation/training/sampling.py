"""Training batches as a pure function of (seed, step), so that a resumed run draws what the first would have."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from segmentation.classes import CLASS_NAMES, DEFECT_CLASSES
from segmentation.training.augmentation import photographed, turned
from segmentation.training.class_weights import COUNTED, class_counts
from segmentation.training.content_tables import BlockTable, ContentTable, Integers
from segmentation.training.crop_positions import CountLimits, CropPositions
from segmentation.training.crop_sources import (
    CropSource,
    cut,
    labels_in,
    photograph_source,
    scene_source,
    structure_source,
)
from segmentation.training.datasets import DataSetSpec, read_split, with_uncertain_ring
from segmentation.training.labels import UNKNOWN, Labels, only
from segmentation.windows import Window

_SCENE_STREAM, _BATCH_STREAM, _STRUCTURE_STREAM = 1, 2, 4
_STRUCTURE_CHANCE = 0.55
_STRUCTURE_DAMAGE_FACTOR = 0.5
"""Of the share of damaged crops: most of a structure is sound edges, rivets and joints, and must be seen as such."""
_SCENE_MARGIN = 1.25
_TABLES_KEPT = 8
_SCENES_COUNTED = 16
_BLOCK_PX = 16
_DAMAGE = tuple(only(c) for c in DEFECT_CLASSES)


@dataclass(frozen=True, slots=True)
class CropContent:
    """What a share of the crops must hold; they are drawn uniformly over all positions where they do."""

    damaged_share: float
    """Share of a set's crops that are drawn for their damage; the others lie anywhere."""
    least_damage_px: int | None
    """Damaged pixels that such a crop holds at least, at its own size; None: it lies around a damaged pixel that is
    drawn at random, wherever that pixel falls in it."""
    background_share: tuple[float, float]
    """Lowest and highest share of such a crop that is neither damage nor unknown; without effect for None above."""
    border_px: int
    """How far any crop may reach outside its picture, where it is mirrored; pixels of the crop."""

    def __post_init__(self) -> None:
        low, high = self.background_share
        if not 0 <= self.damaged_share <= 1 or not 0 <= low <= high <= 1:
            raise ValueError(f"shares must lie in [0, 1] and be in order, got {self}")
        if self.border_px < 0 or (self.least_damage_px is not None and self.least_damage_px < 1):
            raise ValueError(f"border_px must be >= 0 and least_damage_px >= 1, got {self}")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from."""

    images: npt.NDArray[np.uint8]
    """``(N, H, W, 3)``."""
    labels: Labels
    """Bit fields ``(N, H, W)``."""
    class_counts: Integers
    """``(N, C)``: pixels of the sources that weigh as each class, in the part of each crop that is learned from."""


@dataclass(frozen=True, slots=True)
class SamplerConfig:
    """What decides the batches; see `CropSampler`."""

    sets: tuple[DataSetSpec, ...]
    """Labelled sets; their ``train`` splits are read."""
    seed: int
    """Decides every crop."""
    crop_px: int
    """Side of a crop."""
    margin_px: int
    """What a net of valid convolutions loses of it on each side: content and position are those of the rest."""
    batch: int
    """Crops per step."""
    content: CropContent
    """What crops must hold."""
    synthetic_share: float
    """Share of synthetic scenes, relative to those of the sets."""
    scenes: int
    """Number of different synthetic scenes."""
    structures: int
    """Number of painted structures beside them."""
    synthetic_scale_range: tuple[float, float]
    """Lowest and highest factor by which crops of painted scenes and structures are resized: jitter of the GSD."""
    border_reach_px: int
    """Half the width of the borders between touching instances that labels tell; 0: they tell none."""

    def sampler(self) -> "CropSampler":
        """Read the sets into memory and build their sampler."""
        read = []
        for spec in self.sets:
            items = (with_uncertain_ring(item, spec) for item in read_split(spec, "train"))
            read.append([photograph_source(item, spec) for item in items])
        return CropSampler(self, read)


class CropSampler:
    """Draws crops from labelled images and from synthetic scenes in given shares.

    Synthetic scenes come from a bank of `scenes`: each is painted when it is first drawn, and shown changed each
    time. More than half of the synthetic crops are cut from one of `structures` painted structures (as the demo
    survey's, from seeds that the demo cannot have); with 0 structures, none. A picture in which no position holds
    what is asked for gives a crop from anywhere.
    """

    def __init__(self, config: SamplerConfig, sets: Sequence[Sequence[CropSource]]) -> None:
        """`sets` are the pictures of `config.sets`, in their order."""
        shares = np.array([spec.share for spec in config.sets] + [config.synthetic_share], np.float64)
        if not shares.sum() > 0 or shares.min() < 0:
            raise ValueError(f"the shares of the sets must be >= 0 and not all zero, got {shares.tolist()}")
        if config.crop_px <= 2 * config.margin_px:
            raise ValueError(f"crop_px must exceed 2 · margin_px, got {config.crop_px} and {config.margin_px}")
        self._config = config
        self._sets = sets
        self._chances = shares / shares.sum()
        self._scene = lru_cache(maxsize=config.scenes)(self._paint_scene)
        self._structure = lru_cache(maxsize=config.structures)(self._paint_structure)
        self._table = lru_cache(maxsize=_TABLES_KEPT)(self._build_table)
        self._blocks = lru_cache(maxsize=None)(self._build_blocks)
        self._spots = lru_cache(maxsize=None)(self._find_spots)

    def batch_at(self, step: int) -> Batch:
        """The batch of a step: always the same for the same seed."""
        seed = self._config.seed
        crops = [self._crop(np.random.default_rng((seed, _BATCH_STREAM, step, i))) for i in range(self._config.batch)]
        images, labels, counts = zip(*crops, strict=True)
        return Batch(np.stack(images), np.stack(labels), np.stack(counts))

    def class_shares(self) -> npt.NDArray[np.float64]:
        """``(C,)``: the share of each class in all labelled pixels of the sets and of some scenes, weighed by shares.

        Counted once by block tables, the low-memory form.
        """
        total = np.zeros(len(CLASS_NAMES))
        for chosen, chance in enumerate(self._chances):
            if chance > 0:
                counts = sum(map(_whole_counts, self._pictures(chosen)), np.zeros(len(CLASS_NAMES)))
                total += chance * counts / max(1.0, counts.sum())
        return total

    def _pictures(self, chosen: int) -> Sequence[CropSource]:
        if chosen < len(self._sets):
            return self._sets[chosen]
        scenes = [self._scene(i) for i in range(min(_SCENES_COUNTED, self._config.scenes))]
        return scenes + [self._structure(i) for i in range(min(2, self._config.structures))]

    def _crop(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Labels, Integers]:
        config = self._config
        key = self._draw_source(rng)
        source = self._source(key)
        scale = float(np.exp(rng.uniform(*np.log(source.scale_range))))
        margin_px = round(config.margin_px / scale)
        core = self._place(rng, key, max(1, round((config.crop_px - 2 * config.margin_px) / scale)), scale)
        window = core.grow(margin_px)
        image, labels = cut(source, window, side_px=config.crop_px, border_reach_px=config.border_reach_px)
        counts = _class_counts_of(core, source, self._blocks(key))
        image, labels = turned(rng, image, labels)
        strength = 1.0 if key[0] < len(self._sets) else 0.5
        return photographed(rng, image, strength=strength), labels, counts

    def _draw_source(self, rng: np.random.Generator) -> tuple[int, int]:
        """(place among the sets, then scenes, then structures; number)."""
        chosen = int(rng.choice(len(self._chances), p=self._chances))
        if chosen < len(self._sets):
            return chosen, int(rng.integers(len(self._sets[chosen])))
        if self._config.structures and rng.random() < _STRUCTURE_CHANCE:
            return chosen + 1, int(rng.integers(self._config.structures))
        return chosen, int(rng.integers(self._config.scenes))

    def _source(self, key: tuple[int, int]) -> CropSource:
        kind, number = key
        if kind < len(self._sets):
            return self._sets[kind][number]
        return self._scene(number) if kind == len(self._sets) else self._structure(number)

    def _paint_scene(self, number: int) -> CropSource:
        config = self._config
        margin = max(_SCENE_MARGIN, 1 / config.synthetic_scale_range[0])
        return scene_source(
            (config.seed, _SCENE_STREAM, number),
            size_px=round(margin * config.crop_px), scale_range=config.synthetic_scale_range,
        )  # fmt: skip

    def _paint_structure(self, number: int) -> CropSource:
        seed = (self._config.seed, _STRUCTURE_STREAM, number)
        return structure_source(seed, is_deck=number % 2 == 1, scale_range=self._config.synthetic_scale_range)

    def _build_table(self, key: tuple[int, int]) -> ContentTable:
        return ContentTable.of(self._source(key).labels, values=COUNTED)

    def _build_blocks(self, key: tuple[int, int]) -> BlockTable:
        return BlockTable.of(self._source(key).labels, values=COUNTED, block_px=_BLOCK_PX)

    def _find_spots(self, key: tuple[int, int]) -> npt.NDArray[np.int32]:
        """Some (row, col) of damaged pixels, about 2000, evenly taken; ``(N, 2)``."""
        spots = np.argwhere(np.isin(self._source(key).labels, _DAMAGE)).astype(np.int32)
        return spots[:: max(1, len(spots) // 2000)]

    def _place(self, rng: np.random.Generator, key: tuple[int, int], side_px: int, scale: float) -> Window:
        """Where a crop of `side_px` of the source lies, by the rules of `CropContent`."""
        content, height_width = self._config.content, self._source(key).labels.shape
        border_px = round(content.border_px / scale)
        chance = content.damaged_share
        if key[0] > len(self._sets):
            chance *= _STRUCTURE_DAMAGE_FACTOR
        if rng.random() < chance and key[0] != len(self._sets):
            if content.least_damage_px is None:
                around = self._around_damage(rng, key, side_px, border_px)
            else:
                around = self._with_content(rng, key, side_px, scale)
            if around is not None:
                return around
        axis = partial(_anywhere, rng, side_px=side_px, border_px=border_px)
        top, left = (axis(extent_px) for extent_px in height_width)
        return Window(top, top + side_px, left, left + side_px)

    def _around_damage(
        self, rng: np.random.Generator, key: tuple[int, int], side_px: int, border_px: int
    ) -> Window | None:
        spots = self._spots(key)
        if not len(spots):
            return None
        spot = spots[int(rng.integers(len(spots)))]
        starts = []
        for at, extent_px in zip(spot, self._source(key).labels.shape, strict=True):
            start = int(at) - int(rng.integers(side_px))
            if side_px < extent_px + 2 * border_px:
                start = min(max(start, -border_px), extent_px + border_px - side_px)
            starts.append(start)
        return Window(starts[0], starts[0] + side_px, starts[1], starts[1] + side_px)

    def _with_content(
        self, rng: np.random.Generator, key: tuple[int, int], side_px: int, scale: float
    ) -> Window | None:
        content, area_px = self._config.content, side_px**2
        assert content.least_damage_px is not None
        least_px = max(1, round(content.least_damage_px / scale**2))
        low, high = (round((1 - share) * area_px) for share in reversed(content.background_share))
        limits = [CountLimits(_DAMAGE, least_px, area_px), CountLimits((*_DAMAGE, UNKNOWN), low, high)]
        places = CropPositions(
            self._table(key), shape=(side_px, side_px), limits=limits, border_px=round(content.border_px / scale)
        )
        if not places.number:
            return None
        top, bottom, left, right = places.draw(rng, 1)[0].tolist()
        return Window(top, bottom, left, right)


def _class_counts_of(window: Window, source: CropSource, table: BlockTable) -> Integers:
    """``(C,)``: pixels of a window that weigh as each class; of the mirrored pixels too where it reaches outside."""
    corners = np.array([[window.row_start, window.row_stop, window.col_start, window.col_stop]], np.int64)
    if window.clip(*source.labels.shape) == window:
        counted = table.counts(corners)
    else:
        labels = labels_in(source, window)
        counted = np.array([[np.count_nonzero(labels == value) for value in COUNTED]], np.int64)
    counts: Integers = class_counts(counted, np.array([window.area_px], np.int64))[0]
    return counts


def _whole_counts(source: CropSource) -> npt.NDArray[np.float64]:
    height, width = source.labels.shape
    table = BlockTable.of(source.labels, values=COUNTED, block_px=_BLOCK_PX)
    return np.asarray(_class_counts_of(Window(0, height, 0, width), source, table), np.float64)


def _anywhere(rng: np.random.Generator, extent_px: int, *, side_px: int, border_px: int) -> int:
    """Start of a crop anywhere inside, borders included; the middle where it is larger than that."""
    room_px = extent_px + 2 * border_px - side_px
    return int(rng.integers(room_px + 1)) - border_px if room_px >= 0 else (extent_px - side_px) // 2

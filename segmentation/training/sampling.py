"""Training batches as a pure function of (seed, step), so that a resumed run draws what the first would have."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context, parent_process
from threading import Thread

import numpy as np
import numpy.typing as npt

from segmentation.inference.geometry import mirrored
from segmentation.synthetic.crops import Sample, sample_crop
from segmentation.synthetic.deck import deck_scene
from segmentation.synthetic.truss import truss_scene
from segmentation.training.augmentation import photographed, resized_to, turned
from segmentation.training.datasets import DataSetSpec, LabelledImage, read_split, with_uncertain_ring
from segmentation.training.labels import UNKNOWN, Bools, Labels, labels_from_damage, labels_from_mask
from segmentation.training.validation import PIXEL_MEAN

_SCENE_STREAM, _BATCH_STREAM, _STRUCTURE_STREAM = 1, 2, 4
_STRUCTURE_CHANCE = 0.55
_DAMAGE_CHANCE = 0.7
_STRUCTURE_DAMAGE_CHANCE = 0.35
"""Lower than for photographs: most of a structure is sound edges, rivets and joints, and must be seen as such."""
_STRUCTURE_SCALE = 0.25
_SCENE_MARGIN = 1.25
_PREFETCHED = 3


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from."""

    images: npt.NDArray[np.uint8]
    """``(N, H, W, 3)``."""
    labels: Labels
    """Bit fields ``(N, H, W)``."""


class CropSampler:
    """Draws crops from labelled images and from synthetic scenes in given shares.

    Seven of ten crops of a set are drawn around one of its damaged pixels, the others anywhere. Synthetic scenes
    come from a bank of `scenes`: each is painted when it is first drawn, and shown changed each time. More
    than half of the synthetic crops are cut from one of `structures` painted structures (as the demo survey's,
    from seeds that the demo cannot have); with 0 structures, none.
    """

    def __init__(
        self,
        sets: Sequence[tuple[DataSetSpec, Sequence[LabelledImage]]],
        *,
        seed: int,
        crop_px: int,
        batch: int,
        synthetic_share: float,
        scenes: int,
        structures: int,
    ) -> None:
        shares = np.array([spec.share for spec, _ in sets] + [synthetic_share], np.float64)
        if not shares.sum() > 0 or shares.min() < 0:
            raise ValueError(f"the shares of the sets must be >= 0 and not all zero, got {shares.tolist()}")
        self._sets = sets
        self._seed = seed
        self._crop_px = crop_px
        self._batch = batch
        self._chances = shares / shares.sum()
        self._scenes = scenes
        self._structures = structures
        self._scene = lru_cache(maxsize=scenes)(self._paint_scene)
        self._structure = lru_cache(maxsize=structures)(self._paint_structure)
        self._spots = [[_some_spots(item.damage) for item in items] for _, items in sets]

    def batch_at(self, step: int) -> Batch:
        """The batch of a step: always the same for the same seed."""
        crops = [self._crop(np.random.default_rng((self._seed, _BATCH_STREAM, step, i))) for i in range(self._batch)]
        return Batch(np.stack([image for image, _ in crops]), np.stack([labels for _, labels in crops]))

    def _crop(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Labels]:
        chosen = int(rng.choice(len(self._chances), p=self._chances))
        if chosen == len(self._sets):
            image, labels = self._synthetic(rng)
            strength = 0.5
        else:
            image, labels = self._photographed(rng, chosen)
            strength = 1.0
        image, labels = turned(rng, image, labels)
        return photographed(rng, image, strength=strength), labels

    def _synthetic(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Labels]:
        if self._structures and rng.random() < _STRUCTURE_CHANCE:
            return self._of_structure(rng)
        scene = self._scene(int(rng.integers(self._scenes)))
        room = scene.mask.shape[0] - self._crop_px + 1
        row, col = int(rng.integers(room)), int(rng.integers(room))
        cut = slice(row, row + self._crop_px), slice(col, col + self._crop_px)
        return scene.image[cut], labels_from_mask(scene.mask[cut])

    def _paint_scene(self, number: int) -> Sample:
        rng = np.random.default_rng((self._seed, _SCENE_STREAM, number))
        return sample_crop(rng, size_px=round(_SCENE_MARGIN * self._crop_px))

    def _of_structure(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Labels]:
        image, labels, spots = self._structure(int(rng.integers(self._structures)))
        rows, cols = (_axis(rng, length, self._crop_px) for length in labels.shape)
        if len(spots) and rng.random() < _STRUCTURE_DAMAGE_CHANCE:
            row, col = spots[int(rng.integers(len(spots)))]
            rows = _axis_around(rng, int(row), labels.shape[0], self._crop_px)
            cols = _axis_around(rng, int(col), labels.shape[1], self._crop_px)
        return image[np.ix_(rows, cols)], labels[np.ix_(rows, cols)]

    def _paint_structure(self, number: int) -> tuple[npt.NDArray[np.uint8], Labels, npt.NDArray[np.intp]]:
        paint = deck_scene if number % 2 else truss_scene
        scene = paint(np.random.default_rng((self._seed, _STRUCTURE_STREAM, number)), scale=_STRUCTURE_SCALE)
        labels = labels_from_mask(scene.mask)
        labels[~scene.validity] = UNKNOWN
        scene.image[~scene.validity] = np.rint(PIXEL_MEAN)  # as the predictor shows it to the net
        return scene.image, labels, _some_spots((scene.mask > 0) & scene.validity)

    def _photographed(self, rng: np.random.Generator, chosen: int) -> tuple[npt.NDArray[np.uint8], Labels]:
        spec, items = self._sets[chosen]
        number = int(rng.integers(len(items)))
        item, spots = items[number], self._spots[chosen][number]
        scale = float(np.exp(rng.uniform(*np.log(spec.scale_range))))
        side_px = max(1, round(self._crop_px / scale))
        rows, cols = (_axis(rng, length, side_px) for length in item.damage.shape)
        if len(spots) and rng.random() < _DAMAGE_CHANCE:
            row, col = spots[int(rng.integers(len(spots)))]
            rows = _axis_around(rng, int(row), item.damage.shape[0], side_px)
            cols = _axis_around(rng, int(col), item.damage.shape[1], side_px)
        cut = np.ix_(rows, cols)
        image, damage, ignore = resized_to(
            item.image[cut], item.damage[cut], item.ignore[cut],
            height=self._crop_px, width=self._crop_px, line_labels=spec.line_labels,
        )  # fmt: skip
        labels = labels_from_damage(damage, ignore, pixel_class=spec.pixel_class, others_absent=item.others_absent)
        return image, labels


@dataclass(frozen=True, slots=True)
class SamplerConfig:
    """What decides the batches; see `CropSampler`."""

    sets: tuple[DataSetSpec, ...]
    """Labelled sets; their ``train`` splits are read."""
    seed: int
    """Decides every crop."""
    crop_px: int
    """Side of a crop."""
    batch: int
    """Crops per step."""
    synthetic_share: float
    """Share of synthetic scenes, relative to those of the sets."""
    scenes: int
    """Number of different synthetic scenes."""
    structures: int
    """Number of painted structures beside them."""

    def sampler(self) -> CropSampler:
        """Read the sets into memory and build their sampler."""
        sets = [(spec, [with_uncertain_ring(item, spec) for item in read_split(spec, "train")]) for spec in self.sets]
        return CropSampler(
            sets, seed=self.seed, crop_px=self.crop_px, batch=self.batch,
            synthetic_share=self.synthetic_share, scenes=self.scenes, structures=self.structures,
        )  # fmt: skip


def batches(config: SamplerConfig, *, first: int, last: int, processes: int) -> Iterator[tuple[int, Batch]]:
    """(step, batch) for the steps ``[first, last)``, prepared ahead in that many other processes (0: in this one).

    Processes, not threads: crops are made of many short calls that hold the interpreter, and a training step
    beside them in the same one took four times as long (2.1 s against 0.5 s).
    """
    if processes == 0:
        sampler = config.sampler()
        yield from ((step, sampler.batch_at(step)) for step in range(first, last))
        return
    context = get_context("spawn")  # a fork of a process whose OpenMP threads run may hang
    with ProcessPoolExecutor(processes, context, initializer=_start_worker, initargs=(config,)) as pool:
        waiting: list[Future[Batch]] = []
        for step in range(first, last):
            while len(waiting) < min(_PREFETCHED * processes, last - step):
                waiting.append(pool.submit(_batch_in_worker, step + len(waiting)))
            yield step, waiting.pop(0).result()


_worker_sampler: list[CropSampler] = []


def _start_worker(config: SamplerConfig) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    _worker_sampler.append(config.sampler())


def _end_with_parent() -> None:
    """End this process when the training process is killed: it would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _batch_in_worker(step: int) -> Batch:
    return _worker_sampler[0].batch_at(step)


def _some_spots(damage: Bools) -> npt.NDArray[np.intp]:
    """Some (row, col) of damaged pixels, about 2000, evenly taken; ``(N, 2)``."""
    spots = np.argwhere(damage)
    return spots[:: max(1, len(spots) // 2000)]


def _axis(rng: np.random.Generator, length_px: int, side_px: int) -> npt.NDArray[np.intp]:
    """Indices along one axis of a crop anywhere inside, mirrored where the image is smaller than the crop."""
    start = int(rng.integers(length_px - side_px + 1)) if side_px < length_px else (length_px - side_px) // 2
    return mirrored(start, start + side_px, length_px)


def _axis_around(rng: np.random.Generator, at: int, length_px: int, side_px: int) -> npt.NDArray[np.intp]:
    start = at - int(rng.integers(side_px))
    if side_px < length_px:
        start = min(max(start, 0), length_px - side_px)
    return mirrored(start, start + side_px, length_px)

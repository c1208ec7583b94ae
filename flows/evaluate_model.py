"""Score weights on folders of pictures, through the same planned engine that inspects surveys."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from flows.evaluate_engine import PlannedModel, plan_model, refuse_too_large, segment_picture
from flows.labelled_folder import (
    LabelledPicture,
    MaskForm,
    form_of_masks,
    image_files,
    labelled_pictures,
    picture_size,
    read_image,
    read_truth,
)
from flows.progress import shown_progress
from flows.settings import Settings
from segmentation.classes import CLASS_NAMES, DEFECT_CLASSES, PixelClass
from segmentation.measurement.grading import load_standards
from segmentation.training.business import Findings, ReviewCosts
from segmentation.training.evaluation import (
    EvaluationRules,
    ImageScore,
    LabelledPrediction,
    PooledScore,
    pool,
    score_image,
    undamaged_findings,
)

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Work = TypeVar("Work")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FolderCase:
    """Pictures to be scored, and how they are shown to a model."""

    pictures: tuple[LabelledPicture, ...]
    form: MaskForm
    scale: float
    """Factor by which they are resized before inference."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPicture:
    """A picture's score, and its prediction in few bytes, to be drawn later."""

    picture: LabelledPicture
    score: ImageScore
    predicted_png: bytes
    """Pixels called the class, as a PNG."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelScore:
    """One model on all pictures."""

    model: PlannedModel
    pictures: tuple[ScoredPicture, ...]
    """In the order of their names."""
    pooled: PooledScore


@dataclass(frozen=True, slots=True, eq=False)
class UndamagedPicture:
    """What was called damage in a picture that shows none."""

    image: Path
    pixels: int
    """Pixels inspected."""
    called_px: dict[str, int]
    """Pixels called damage, by class."""
    findings: dict[str, Findings]
    """Findings the product would list, all of them false alarms, by class."""
    mask_png: bytes
    """Class ids, as a PNG."""


def evaluation_rules(
    settings: Settings, *, class_name: str, tolerance_px: float, gsd_m: float | None
) -> EvaluationRules:
    """How pictures are scored with the chosen settings."""
    return EvaluationRules(
        pixel_class=PixelClass(CLASS_NAMES.index(class_name)),
        tolerance_px=tolerance_px,
        width_limits_px=settings.evaluation_widths_px,
        gsd_m=gsd_m,
        min_crack_width_px=settings.min_crack_width_px,
        min_crack_length_px=settings.min_crack_length_px,
        min_rust_area_px=settings.min_rust_area_px,
        standards=load_standards(settings.standards),
        review=ReviewCosts(
            image_s=settings.review_image_s,
            confirm_s=settings.review_confirm_s,
            reject_s=settings.review_reject_s,
            draw_s=settings.review_draw_s,
        ),
    )


def folder_case(images: Path, masks: Path, *, split: str | None, scale: float, settings: Settings) -> FolderCase:
    """Find, pair and check pictures before any inference; raises InputRejected for what cannot be scored."""
    pictures = tuple(labelled_pictures(images, masks, split=split))
    _check_sizes([picture.image for picture in pictures], settings)
    return FolderCase(pictures, form_of_masks(picture.mask for picture in pictures), scale)


def evaluate_folder(
    case: FolderCase, *, models: Sequence[str], rules: EvaluationRules, settings: Settings
) -> tuple[ModelScore, ...]:
    """Score each model on the same pictures, in the order of the models."""
    return tuple(_score_model(_chosen(settings, name), case, rules) for name in models)


def evaluate_undamaged(
    images: Path, *, split: str | None, scale: float, gsd_m: float | None, models: Sequence[str], settings: Settings
) -> tuple[tuple[PlannedModel, tuple[UndamagedPicture, ...]], ...]:
    """What each model calls damage in pictures that show none: the control for false alarms."""
    files = image_files(images, split=split)
    _check_sizes(files, settings)
    results = []
    for name in models:
        chosen = _chosen(settings, name)
        model = plan_model(chosen, gsd_m=gsd_m, scale=scale)

        def look(path: Path, *, model: PlannedModel = model, chosen: Settings = chosen) -> UndamagedPicture:
            return _look_at(path, model, scale=scale, settings=chosen)

        results.append((model, _each(look, files, model.name, workers=chosen.workers)))
    return tuple(results)


def decoded_mask(png: bytes) -> Bytes:
    """The mask ``(H, W)`` of a `ScoredPicture` or an `UndamagedPicture`."""
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(picture.convert("L"))


def _score_model(settings: Settings, case: FolderCase, rules: EvaluationRules) -> ModelScore:
    model = plan_model(settings, gsd_m=rules.gsd_m, scale=case.scale)

    def scored(picture: LabelledPicture) -> ScoredPicture:
        return _score_picture(picture, model, case, rules)

    pictures = _each(scored, case.pictures, model.name, workers=settings.workers)
    return ModelScore(model, pictures, pool([picture.score for picture in pictures]))


def _score_picture(
    picture: LabelledPicture, model: PlannedModel, case: FolderCase, rules: EvaluationRules
) -> ScoredPicture:
    image, validity = read_image(picture.image)
    truth, labelled = read_truth(
        picture.mask, form=case.form, pixel_class=rules.pixel_class, size=(image.shape[0], image.shape[1])
    )
    found = segment_picture(image, validity, inference=model.inference, scale=case.scale)
    predicted = found.mask == rules.pixel_class
    shown = LabelledPrediction(image, predicted, found.probability, truth, labelled & validity)
    return ScoredPicture(picture, score_image(picture.image.name, shown, rules=rules), _png(predicted))


def _look_at(path: Path, model: PlannedModel, *, scale: float, settings: Settings) -> UndamagedPicture:
    image, validity = read_image(path)
    found = segment_picture(image, validity, inference=model.inference, scale=scale)
    called = {c.name.lower(): (found.mask == c) & validity for c in DEFECT_CLASSES}
    return UndamagedPicture(
        image=path,
        pixels=int(validity.sum()),
        called_px={name: int(mask.sum()) for name, mask in called.items()},
        findings={
            name: undamaged_findings(
                mask,
                pixel_class=PixelClass(CLASS_NAMES.index(name)),
                min_crack_length_px=settings.min_crack_length_px,
                min_rust_area_px=settings.min_rust_area_px,
            )
            for name, mask in called.items()
        },
        mask_png=_png(np.where(validity, found.mask, np.uint8(0))),
    )


def _each(work: Callable[[Work], Result], items: Sequence[Work], name: str, *, workers: int) -> tuple[Result, ...]:
    """Results in order, `workers` items at a time; the first failure stops what has not begun."""
    with _counted(name, len(items)) as count, ThreadPoolExecutor(workers) as pool_of_threads:
        futures = [pool_of_threads.submit(work, item) for item in items]
        results = []
        try:
            for future in futures:
                results.append(future.result())
                count()
        except BaseException:
            pool_of_threads.shutdown(cancel_futures=True)
            raise
    return tuple(results)


@contextmanager
def _counted(name: str, total: int) -> Iterator[Callable[[], None]]:
    done = 0
    with shown_progress(f"evaluate {name}", unit="pictures") as tell:

        def count() -> None:
            nonlocal done
            done += 1
            tell(done, total)

        yield count


def _chosen(settings: Settings, model: str) -> Settings:
    return settings.model_copy(update={"model": model})


def _check_sizes(files: Sequence[Path], settings: Settings) -> None:
    for path in files:
        height, width = picture_size(path)
        refuse_too_large(path.name, height * width, settings=settings)


def _png(values: Bytes | Bools) -> bytes:
    buffer = BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()

"""`spanscan compile-model`: weights into OpenVINO's int8 form, and through the gate, or not at all."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flows.labelled_folder import form_of_masks, image_files, labelled_pictures, picture_size, read_image, read_truth
from flows.settings import Settings
from segmentation.classes import CLASS_NAMES, DEFECT_CLASSES, PixelClass
from segmentation.errors import InputRejected, RunFailed, UsageError
from segmentation.inference.accuracy_gate import LabelledScene, run_gate
from segmentation.inference.openvino_runtime import OpenvinoRuntime, compiled_folder
from segmentation.inference.predictor import Predictor, tile_geometry
from segmentation.inference.runtime import TorchRuntime
from segmentation.models.compiled import (
    GRAPH_NAME,
    MOST_LOSS,
    VALUES_NAME,
    CompiledCard,
    GateFigure,
    file_sha256,
    too_costly,
    write_card,
)
from segmentation.models.geometry import net_geometry
from segmentation.models.quantisation import (
    BF16_RECIPE,
    INT8_RECIPES,
    Bytes,
    Recipe,
    openvino_model,
    prepared,
    save_openvino,
    versions,
)
from segmentation.models.registry import LoadedModel, load_model
from segmentation.synthetic.crops import sample_crop

CALIBRATION_CROPS = 64
CALIBRATION_PX = 256
SYNTHETIC_SCENES = 40
SYNTHETIC_PX = 512
_CALIBRATION_SEED, _GATE_SEED = 41, 43
_TILE_CORE_PX = 512
_SYNTHETIC = "synthetic scenes"


@dataclass(frozen=True, slots=True)
class EvaluationFolder:
    """A set of the gate: images and masks as `spanscan evaluate` takes them."""

    images: Path
    masks: Path
    class_name: str
    """crack or rust: what the masks label."""
    split: str | None
    """Only this split of the folder's ``splits.json``."""


def compile_weights(
    settings: Settings,
    *,
    evaluations: Sequence[EvaluationFolder],
    calibration: Path | None,
    out: Path | None,
    allow_bf16: bool,
) -> tuple[Path, CompiledCard]:
    """The folder and the card of the compiled form of the settings' model, once it has passed the gate.

    Each recipe is tried in turn, bfloat16 without quantisation as the last, if `allow_bf16`. Raises RunFailed E_GATE
    where none loses at most `MOST_LOSS` of F1 and IoU on every set; what lay in the folder before stays then as it was.
    """
    loaded = load_model(settings.model)
    folder = out or compiled_folder(settings.home, loaded)
    crops, calibrated_on = _calibration_crops(loaded, calibration)
    refused: list[GateFigure] = []
    with contextlib.redirect_stdout(sys.stderr):  # NNCF's progress bars: stdout is for the result
        model = openvino_model(loaded)
        folder.parent.mkdir(parents=True, exist_ok=True)
        for recipe in (*INT8_RECIPES, BF16_RECIPE) if allow_bf16 else INT8_RECIPES:
            with tempfile.TemporaryDirectory(prefix=".compiling-", dir=folder.parent) as scratch:
                made = Path(scratch) / "made"
                save_openvino(prepared(model, crops, recipe), made)
                measured_on = calibrated_on if recipe.quantises else "nothing: it is not quantised"
                card = _gate(made, loaded, recipe, measured_on, evaluations)
                refused = too_costly(card.gate, most_loss=MOST_LOSS)
                if not refused:
                    _replace_folder(folder, made)
                    return folder, card
    worst = refused[0]
    raise RunFailed(
        "E_GATE",
        loaded.card.name,
        f"a compiled model must lose at most {MOST_LOSS} of F1 and IoU on every set, got {worst.loss:.4f} of "
        f"{worst.metric} for {worst.class_name} on {worst.split} ({worst.plain:.4f} to {worst.compiled:.4f})",
        "calibrate on images like those to be inspected (--calibration), allow --bf16, or set SPANSCAN_RUNTIME=torch",
    )


def compiled_lines(card: CompiledCard) -> list[str]:
    """The gate's figures in lines for a terminal."""
    lines = [f"{card.name} ({card.source_sha256[:12]}): {card.recipe}; calibrated on {card.calibration}"]
    lines += [
        f"  {f.split:<34} {f.class_name:<6} {f.metric:<4} {f.plain:.4f} -> {f.compiled:.4f}  (loss {f.loss:+.4f})"
        for f in card.gate
    ]
    return [*lines, f"  another class than float32 on {card.differing_share:.3%} of the pixels"]


def _gate(
    made: Path, loaded: LoadedModel, recipe: Recipe, calibrated_on: str, evaluations: Sequence[EvaluationFolder]
) -> CompiledCard:
    """Run the gate on a model just made, and write its card, with which alone it can be used."""
    card = CompiledCard(
        name=loaded.card.name,
        source_sha256=loaded.sha256,
        recipe=recipe.name,
        precision=recipe.precision,
        calibration=calibrated_on,
        files={name: file_sha256(made / name) or "" for name in (GRAPH_NAME, VALUES_NAME)},
        most_loss=MOST_LOSS,
        gate=(),
        differing_share=0.0,
        versions=versions(),
    )
    write_card(made, card)
    geometry = tile_geometry(net_geometry(loaded.module), core_px=_TILE_CORE_PX)
    plain = TorchRuntime(loaded, device="cpu", precision="float32", compiled=False)
    compiled = OpenvinoRuntime(made, loaded, threads=1, gated=False)
    predictors = [Predictor(runtime, geometry=geometry, batch=1) for runtime in (plain, compiled)]
    outcome = run_gate(predictors[0], predictors[1], _scenes(evaluations))
    scored = replace(card, gate=outcome.figures, differing_share=outcome.differing_share)
    write_card(made, scored)
    return scored


def _scenes(evaluations: Sequence[EvaluationFolder]) -> Iterator[LabelledScene]:
    for number in range(SYNTHETIC_SCENES):
        sample = sample_crop(np.random.default_rng([_GATE_SEED, number]), size_px=SYNTHETIC_PX)
        everything = np.ones(sample.mask.shape, np.bool_)
        truths = {kind: (sample.mask == kind, everything) for kind in DEFECT_CLASSES}
        yield LabelledScene(_SYNTHETIC, sample.image, everything, truths)
    for evaluation in evaluations:
        pictures = labelled_pictures(evaluation.images, evaluation.masks, split=evaluation.split)
        form = form_of_masks(picture.mask for picture in pictures)
        kind = PixelClass[evaluation.class_name.upper()]
        for picture in pictures:
            image, validity = read_image(picture.image)
            truth = read_truth(picture.mask, form=form, pixel_class=kind, size=picture_size(picture.image))
            yield LabelledScene(_name_of(evaluation), image, validity, {kind: truth})


def _name_of(evaluation: EvaluationFolder) -> str:
    folder = "/".join(evaluation.images.absolute().parts[-2:])
    return f"{folder} ({evaluation.split})" if evaluation.split else folder


def _calibration_crops(loaded: LoadedModel, folder: Path | None) -> tuple[list[Bytes], str]:
    side_px = net_geometry(loaded.module).valid_window_px(CALIBRATION_PX)
    rng = np.random.default_rng(_CALIBRATION_SEED)
    if folder is None:
        drawn = [sample_crop(rng, size_px=side_px).image for _ in range(CALIBRATION_CROPS)]
        return drawn, f"{CALIBRATION_CROPS} {_SYNTHETIC}"
    files = image_files(folder, split=None)
    crops = [_random_crop(rng, files[i % len(files)], side_px) for i in range(max(CALIBRATION_CROPS, len(files)))]
    return crops, f"{len(crops)} crops of {len(files)} images in {folder.name}"


def _random_crop(rng: np.random.Generator, path: Path, side_px: int) -> Bytes:
    image, _ = read_image(path)
    if min(image.shape[:2]) < side_px:
        raise InputRejected(
            "E_IMAGE",
            path.name,
            f"an image for calibration must have at least {side_px} px a side, got {image.shape[:2]}",
            "leave it out",
        )
    row, col = (int(rng.integers(extent - side_px + 1)) for extent in image.shape[:2])
    return np.ascontiguousarray(image[row : row + side_px, col : col + side_px])


def _replace_folder(folder: Path, made: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    made.rename(folder)


def evaluation_folders(
    images: Sequence[Path], masks: Sequence[Path], class_names: Sequence[str], *, split: str | None
) -> list[EvaluationFolder]:
    """The sets of the gate from options that were given in threes; raises UsageError where one is missing."""
    if not len(images) == len(masks) == len(class_names):
        raise UsageError(
            "E_SETTING",
            "--images",
            "every --images must have its --masks and its --class, "
            f"got {len(images)}, {len(masks)} and {len(class_names)} of them",
            "give the three together, once a set",
        )
    damage = [CLASS_NAMES[kind] for kind in DEFECT_CLASSES]
    if unknown := sorted(set(class_names) - set(damage)):
        raise UsageError(
            "E_SETTING", "--class", f"it must be {' or '.join(damage)}, got {unknown[0]}", "name one of them"
        )
    return [EvaluationFolder(*three, split=split) for three in zip(images, masks, class_names, strict=True)]

"""The commands that work on weights: train, evaluate, models, compile-model."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.command import JsonOption, ModelOption, log_to_stderr, overrides, print_json, settings_of
from segmentation.errors import UsageError


class DamageName(StrEnum):
    """A class of damage as an option that may be repeated, which cannot be a Literal."""

    CRACK = "crack"
    RUST = "rust"


def train(
    data: Annotated[Path | None, typer.Option(help="folder with cracks_uav75, cracks_masonry, rust_photos")] = None,
    images: Annotated[list[Path] | None, typer.Option(help="folder of your images; may be repeated")] = None,
    masks: Annotated[list[Path] | None, typer.Option(help="its masks: 255 damage, 128 ignore, 0 the rest")] = None,
    class_name: Annotated[
        list[DamageName] | None, typer.Option("--class", help="the class that these masks label")
    ] = None,
    others_absent: Annotated[
        bool, typer.Option("--others-absent", help="your images show no damage of the other class")
    ] = False,
    synthetic_share: Annotated[float, typer.Option(help="share of synthetic crops", min=0, max=1)] = 0.4,
    model: Annotated[str, typer.Option(help="architecture: unet, unet-2015, fusion, foundation")] = "unet",
    net_arguments: Annotated[list[str] | None, typer.Option("--set", help="its arguments, key=value")] = None,
    backbone: Annotated[str | None, typer.Option(help="folder or hub id of the encoder, for foundation")] = None,
    init: Annotated[str | None, typer.Option(help="weights to start from: a name or a .safetensors")] = None,
    out: Annotated[Path, typer.Option(help="run folder; an existing one is resumed")] = Path("runs/train"),
    steps: Annotated[int, typer.Option(help="optimiser steps", min=1)] = 4000,
    batch: Annotated[int, typer.Option(help="crops per batch", min=1, max=1024)] = 8,
    accumulate: Annotated[int, typer.Option(help="batches per optimiser step", min=1, max=1024)] = 1,
    crop_px: Annotated[int, typer.Option(help="side of a crop; rounded up to what the net takes", min=16)] = 256,
    learning_rate: Annotated[float, typer.Option(help="highest learning rate", min=1e-9, max=10)] = 1.5e-3,
    schedule: Annotated[Literal["cosine", "constant-linear"], typer.Option(help="how it falls")] = "cosine",
    class_weights: Annotated[
        Literal["fixed", "data-set", "crop"], typer.Option(help="class weights: the recipe's, or by frequency")
    ] = "fixed",
    least_damage_px: Annotated[
        int | None, typer.Option(help="damaged pixels of 7 in 10 crops, at least; unset: around one", min=1)
    ] = None,
    centre_line: Annotated[float, typer.Option(help="weight of the centre-line loss (clDice)", min=0)] = 0.0,
    patience: Annotated[int | None, typer.Option(help="validations without a better score to stop at", min=1)] = None,
    seed: Annotated[int, typer.Option(help="seed of everything random", min=0)] = 1,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="the same bits each time, also on GPU")
    ] = False,
) -> None:
    """Train a net on labelled images and synthetic damage; resumes a run that was stopped."""
    from flows.train_model import TrainRequest, train_model
    from segmentation.inference.devices import pick_device

    settings = settings_of()
    log_to_stderr(settings)
    device = pick_device(settings.device)
    own = images or [], masks or [], [name.value for name in class_name or []]
    if not len(own[0]) == len(own[1]) == len(own[2]):
        got = f"{len(own[0])}, {len(own[1])} and {len(own[2])}"
        cause = f"--images, --masks and --class must be given equally often, got {got}"
        raise UsageError("E_SETTING", "train", cause, "give all three for each folder")
    request = TrainRequest(
        out=out, data=data, folders=tuple(zip(*own, strict=True)), others_absent=others_absent,
        synthetic_share=synthetic_share, model=model, net_arguments=tuple(net_arguments or ()), backbone=backbone,
        initial_model=init, steps=steps, batch=batch, accumulate=accumulate, crop_px=crop_px,
        learning_rate=learning_rate, schedule=schedule, class_weights=class_weights, least_damage_px=least_damage_px,
        centre_line=centre_line, patience=patience, seed=seed, deterministic=deterministic,
        mixed_precision=settings.precision != "fp32",
    )  # fmt: skip
    typer.echo(train_model(request, device=device.split(":")[0], threads=settings.workers))


def evaluate(
    images: Annotated[Path, typer.Option(help="folder of images")],
    masks: Annotated[
        Path | None, typer.Option(help="folder of masks of the same stem: 255 damage, 128 ignore; or class ids")
    ] = None,
    class_name: Annotated[
        Literal["crack", "rust"] | None, typer.Option("--class", help="the class that the masks label")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="shipped weights or path of a .safetensors; several stand side by side")
    ] = None,
    split: Annotated[str | None, typer.Option(help="only this split of the splits.json beside the images")] = None,
    scale: Annotated[float, typer.Option(help="factor by which images are resized before inference", min=0.05)] = 1.0,
    tolerance_px: Annotated[float, typer.Option(help="distance at which a line still counts as found", min=0)] = 4.0,
    gsd_mm: Annotated[
        float | None, typer.Option(help="GSD of the images in mm: metres, m² and grades", min=0.01)
    ] = None,
    undamaged: Annotated[bool, typer.Option("--undamaged", help="no masks: the images show no damage at all")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="folder for evaluation.json and cases.png; unset: spanscan-evaluation, with --json none"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score weights on a folder of images, through the product's own tiled engine."""
    from flows.evaluate_command import EvaluateOptions, run_evaluation

    settings = settings_of()
    log_to_stderr(settings)
    options = EvaluateOptions(
        images=images,
        masks=masks,
        class_name=class_name,
        models=tuple(model or [settings.model]),
        split=split,
        scale=scale,
        tolerance_px=tolerance_px,
        gsd_m=None if gsd_mm is None else gsd_mm / 1000,
        undamaged=undamaged,
        out=out if out is not None or as_json else Path("spanscan-evaluation"),
    )
    record = run_evaluation(options, settings, show=not as_json)
    if as_json:
        print_json(record)
    else:
        typer.echo(options.out)


def models(
    name: Annotated[
        str | None, typer.Argument(help="name of shipped weights, or path of a .safetensors", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the shipped weights and what their tiles cost, or one card in full."""
    from flows.models_table import show_card, show_models
    from flows.models_text import family_records, model_records

    if name is not None:
        (record,) = model_records((name,))
        if as_json:
            print_json(record)
        else:
            show_card(record)
        return
    records, family = model_records(), family_records()
    if as_json:
        print_json({"models": records, "family": family})
    else:
        show_models(records, family)


def compile_model(
    model: ModelOption = None,
    images: Annotated[list[Path] | None, typer.Option(help="folder of images to score on; repeat for sets")] = None,
    masks: Annotated[list[Path] | None, typer.Option(help="masks of the same stem, for each --images")] = None,
    class_name: Annotated[list[str] | None, typer.Option("--class", help="crack or rust, for each --images")] = None,
    split: Annotated[str | None, typer.Option(help="only this split of the splits.json beside the images")] = None,
    calibration: Annotated[Path | None, typer.Option(help="folder of images like those to be inspected")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the compiled model; unset: spanscan's own")] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="where int8 loses too much, take OpenVINO's bfloat16")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compile weights for SPANSCAN_RUNTIME=openvino in int8, if that costs at most 0.005 of F1 and IoU."""
    from flows.compile_model import compile_weights, compiled_lines, evaluation_folders

    settings = settings_of(**overrides(model=model))
    log_to_stderr(settings)
    sets = evaluation_folders(images or [], masks or [], class_name or [], split=split)
    folder, card = compile_weights(settings, evaluations=sets, calibration=calibration, out=out, allow_bf16=bf16)
    if as_json:
        print_json({"folder": str(folder), **asdict(card)})
        return
    for line in compiled_lines(card):
        typer.echo(line)
    typer.echo(folder)

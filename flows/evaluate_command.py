"""What `spanscan evaluate` does with its options: score, then table, JSON file and picture sheets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.evaluate_model import evaluate_folder, evaluate_undamaged, evaluation_rules, folder_case
from flows.evaluate_record import model_record, undamaged_record
from flows.evaluate_sheet import write_sheet, write_undamaged_sheet
from flows.evaluate_text import show_scores, show_undamaged
from flows.settings import Settings
from segmentation.errors import UsageError

RECORD_NAME = "evaluation.json"


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """The options of the command."""

    images: Path
    masks: Path | None
    """None with `undamaged`."""
    class_name: str | None
    """``crack`` or ``rust``; None with `undamaged`."""
    models: tuple[str, ...]
    """Side by side; at least one."""
    split: str | None
    scale: float
    tolerance_px: float
    gsd_m: float | None
    undamaged: bool
    """The pictures show no damage, and there are no masks."""
    out: Path | None
    """Folder for the record and the sheets; None: nothing is written."""


def run_evaluation(options: EvaluateOptions, settings: Settings, *, show: bool) -> dict[str, Any]:
    """Score all models, write what there is to write, print the table if it is to be shown; the record.

    The record of several models is ``{"images", "models": [one record each]}``, of one model its own.
    Raises UsageError E_OPTIONS for options that do not go together.
    """
    _check(options)
    records = _undamaged(options, settings, show=show) if options.undamaged else _scores(options, settings, show=show)
    record = records[0] if len(records) == 1 else {"images": records[0]["images"], "models": records}
    if options.out is not None:
        text = json.dumps(record, ensure_ascii=False, indent=1, default=str)
        (options.out / RECORD_NAME).write_text(text + "\n", encoding="utf-8")
    return record


def _scores(options: EvaluateOptions, settings: Settings, *, show: bool) -> list[dict[str, Any]]:
    assert options.masks is not None
    assert options.class_name is not None
    rules = evaluation_rules(
        settings, class_name=options.class_name, tolerance_px=options.tolerance_px, gsd_m=options.gsd_m
    )
    case = folder_case(options.images, options.masks, split=options.split, scale=options.scale, settings=settings)
    results = evaluate_folder(case, models=options.models, rules=rules, settings=settings)
    records = [
        {**model_record(r, rules=rules, scale=options.scale, draws=settings.evaluation_draws), "split": options.split}
        for r in results
    ]
    title = _title(options, f"{options.class_name}, {len(case.pictures)} pictures")
    for number, result in enumerate(results, start=1):
        if (path := _sheet_path(options, number, result.model.name)) is not None:
            write_sheet(path, result, case, rules, title=f"{result.model.name}: {title}")
    if show:
        show_scores(records, title=title)
    return records


def _undamaged(options: EvaluateOptions, settings: Settings, *, show: bool) -> list[dict[str, Any]]:
    results = evaluate_undamaged(
        options.images,
        split=options.split,
        scale=options.scale,
        gsd_m=options.gsd_m,
        models=options.models,
        settings=settings,
    )
    draws = settings.evaluation_draws
    records = [undamaged_record(m, p, scale=options.scale, gsd_m=options.gsd_m, draws=draws) for m, p in results]
    title = _title(options, f"{records[0]['images']} pictures without damage")
    for number, (model, pictures) in enumerate(results, start=1):
        if (path := _sheet_path(options, number, model.name)) is not None:
            write_undamaged_sheet(path, pictures, title=f"{model.name}: {title}")
    if show:
        show_undamaged(records, title=title)
    return records


def _check(options: EvaluateOptions) -> None:
    if options.undamaged and options.masks is not None:
        raise _misused(
            "--undamaged", "pictures without damage must have no masks, got --masks", "leave one of them out"
        )
    if not options.undamaged and (options.masks is None or options.class_name is None):
        cause = "pictures must come with --masks and --class, or with --undamaged, got neither"
        raise _misused("evaluate", cause, "add them")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)


def _misused(subject: str, cause: str, remedy: str) -> UsageError:
    return UsageError("E_OPTIONS", subject, cause, remedy)


def _title(options: EvaluateOptions, what: str) -> str:
    place = options.images.resolve()
    name = place.parent.name if place.name == "images" else place.name
    conditions: Sequence[str] = [
        *([f"split {options.split}"] if options.split else []),
        *([f"scale {options.scale:g}"] if options.scale != 1 else []),
        *([f"{options.gsd_m * 1000:g} mm per pixel"] if options.gsd_m else []),
    ]
    return ", ".join([f"{name}: {what}", *conditions])


def _sheet_path(options: EvaluateOptions, number: int, model: str) -> Path | None:
    if options.out is None:
        return None
    suffix = f"-{number}-{model}" if len(options.models) > 1 else ""
    return options.out / f"cases{suffix}.png"

"""What the dashboard shows of a published run: a row per structure, the way to the report, one small picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segmentation.windows import Window
from tasks.measure import Measured
from tasks.plan import RunPlan
from tasks.publish import Published, StructureLine
from tasks.report.drawn_mask import drawn_mask
from tasks.report.pictures import Picture, encode, outline_mask
from tasks.report.severity import worst_severity
from tasks.run_place import RunPlace
from tasks.stored_pictures import StoredPictures

MOST_ROWS = 200
_SIDE_PX = 640
_PICTURE_BYTES = 60_000
_MOST_SOURCE_PX = 10**8
"""A larger raster is not read once more for a small picture; its mask alone is shown, from its pyramid."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What is shown."""

    rows: tuple[dict[str, Any], ...]
    """Worst structures first, `MOST_ROWS` at most."""
    sentence: str
    link: str
    """Address of the survey's page, or of the run's folder."""
    picture_url: str | None
    """``data:`` URL of a JPEG; None for no picture."""


def run_summary(plan: RunPlan, measured: Measured, published: Published, picture: Picture | None) -> RunSummary:
    """The summary of a published run."""
    lines = {line.id: line for line in published.structures}
    ordered = sorted(measured.results, key=lambda result: -worst_severity(result).rank)
    left_out = f", the worst {MOST_ROWS} shown" if len(ordered) > MOST_ROWS else ""
    return RunSummary(
        rows=tuple(_row(lines[result.structure.id], worst_severity(result).word) for result in ordered[:MOST_ROWS]),
        sentence=f"{plan.survey.id}, run {published.run_key}: {counted(len(ordered))}{left_out}",
        link=_address(published.results, "index.html" if plan.report.wants("index") else ""),
        picture_url=None if picture is None else picture.data_uri,
    )


def survey_picture(plan: RunPlan, place: RunPlace, measured: Measured) -> Picture | None:
    """A small picture of the raster with the worst defect, else of the first one, damage outlined."""
    worst_first = sorted(measured.results, key=lambda result: -worst_severity(result).rank)
    seen = next((result.defects[0].raster_name for result in worst_first if result.defects), None)
    rasters = plan.survey.rasters
    raster = next((raster for raster in rasters if raster.name == seen), rasters[0])
    pictures = StoredPictures(rasters, place)
    height, width = raster.georeference.height, raster.georeference.width
    whole = Window(0, height, 0, width)
    mask = pictures.read_mask(raster.name, whole, max_side_px=_SIDE_PX)
    if height * width > _MOST_SOURCE_PX:
        return encode(Image.fromarray(drawn_mask(mask)), max_bytes=_PICTURE_BYTES)
    image = Image.fromarray(pictures.read_rgb(raster.name, whole, max_side_px=_SIDE_PX))
    same_size = np.asarray(image.resize((mask.shape[1], mask.shape[0])))
    return encode(Image.fromarray(outline_mask(same_size, mask)), max_bytes=_PICTURE_BYTES)


def counted(count: int) -> str:
    """A number of structures in words.

    >>> counted(1), counted(12)
    ('1 structure', '12 structures')
    """
    return f"{count} structure{'' if count == 1 else 's'}"


def _row(line: StructureLine, worst: str) -> dict[str, Any]:
    """One structure; no figure is given of what was not inspected or not looked for."""
    return {
        "structure": line.name,
        "worst state": worst,
        "inspected, %": round(line.coverage_percent, 1),
        "cracks, m": line.crack_length_m,
        "rust, %": line.rust_percent,
        "why not inspected": line.not_inspected_reason,
    }


def _address(results: str, key: str) -> str:
    return f"{results.rstrip('/')}/{key}" if "://" in results else (Path(results) / key).as_uri()

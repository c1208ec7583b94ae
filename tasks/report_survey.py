"""Report stage: one report per structure, the survey's overview and the defect layers, written to the run's place."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segmentation.records import RunIdentity, StructureResult
from segmentation.windows import Window
from tasks.measure import Measured
from tasks.output_files import OutputFiles
from tasks.plan import RunPlan
from tasks.raster_reader import raster_reader
from tasks.report.document import structure_report
from tasks.report.drawn_mask import drawn_mask
from tasks.report.index import FileLink, render_index_html
from tasks.report.layers import defects_csv, defects_geojson
from tasks.report.record import report_json
from tasks.report.structure_html import structure_html
from tasks.seam_proof import SeamProof
from tasks.segment import RunPlace

log = logging.getLogger("spanscan.report")

MAX_HTML_BYTES = 5_000_000
"""One report must open at once on any machine, also from a mail."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What the report stage wrote."""

    report_uris: Mapping[str, str]
    """Address of the report.html of each structure, by structure id."""
    sha256: Mapping[str, str]
    """Checksum of each file written, by its key in the run."""


def write_reports(
    plan: RunPlan, place: RunPlace, measured: Measured, seam_proof: SeamProof | None, *, worst_count: int
) -> Reported:
    """Write report.html and report.json of each structure, index.html, defects.geojson and defects.csv."""
    files = OutputFiles(place.storage)
    run = run_identity(plan, measured)
    georeferences = {r.name: r.georeference for r in plan.survey.rasters}
    pictures = StoredPictures(plan, place)
    uris: dict[str, str] = {}
    for result in measured.results:
        folder = f"structures/{result.structure.slug}"
        document = structure_report(
            result,
            run=run,
            georeferences=georeferences,
            pictures=pictures,
            seam_proof=seam_sentence(seam_proof),
            worst_count=worst_count,
            max_html_bytes=MAX_HTML_BYTES,
        )
        files.write_json(f"{folder}/report.json", report_json(result, run=run))
        uris[result.structure.id] = files.write(
            f"{folder}/report.html", structure_html(document).encode(), "text/html; charset=utf-8"
        )
        log.info("report of %s: %d defects", result.structure.name, len(result.defects))
    _write_survey_files(files, measured.results, run, georeferences)
    return Reported(report_uris=uris, sha256=files.sha256)


def run_identity(plan: RunPlan, measured: Measured) -> RunIdentity:
    """The run as its reports state it."""
    return RunIdentity(
        run_key=plan.run_key,
        survey_id=plan.survey.id,
        model=plan.model,
        settings=plan.settings_that_matter(),
        spanscan_version=version("spanscan"),
        captured_at=plan.survey.captured_at,
        operator=plan.survey.operator,
        warnings=(*plan.model_limits, *measured.warnings),
        given_mask=plan.given_mask,
    )


def seam_sentence(proof: SeamProof | None) -> str:
    """The seam proof in words, with the method by which the tiles were joined."""
    if proof is None:
        return "Seam proof: none, because the mask was given and nothing was inferred."
    if proof.windows == 0:
        return f"Seam proof ({proof.method}): none, because no pixel beside a border or an edge was inspected."
    share = proof.differing_pixels / proof.pixels if proof.pixels else 0.0
    return (
        f"Seam proof ({proof.method}): {proof.windows} windows ({proof.block_borders} across block borders, "
        f"{proof.tile_borders} across tile borders, {proof.raster_edges} at the raster's edges) were inferred again in "
        f"one piece; {proof.differing_pixels:,} of {proof.pixels:,} pixels differ in class ({share:.4%}), "
        f"{proof.beyond_rounding_pixels:,} of them beyond rounding; the largest difference of a probability is "
        f"{proof.largest_probability_difference:.3f}. {_SEAMS_EXPECTED[proof.method]}"
    )


_SEAMS_EXPECTED: Final = {
    "exact": "A run with a difference beyond rounding is not published.",
    "overlap-tile": "The tiles do not start on the model's pooling grid, so a difference is expected.",
    "blended": "The model looks farther than any tile reaches and its tiles are blended, so a difference is expected.",
}


class StoredPictures:
    """Windows of a run's rasters and masks for the pictures; the last overviews are kept."""

    def __init__(self, plan: RunPlan, place: RunPlace) -> None:
        self._rasters = {r.name: r for r in plan.survey.rasters}
        self._place = place
        self._kept: OrderedDict[tuple[str, Window, int], npt.NDArray[np.uint8]] = OrderedDict()

    def read_rgb(self, raster_name: str, window: Window, *, max_side_px: int) -> npt.NDArray[np.uint8]:
        """Colours ``(h, w, 3)`` uint8 of a window inside the raster, averaged down; nodata is white."""
        key = (raster_name, window, max_side_px)
        if key in self._kept:
            return self._kept[key]
        raster = self._rasters[raster_name]
        if raster.is_mask:
            return drawn_mask(self.read_mask(raster_name, window, max_side_px=max_side_px))
        with raster_reader(self._place.local_path(raster), raster) as reader:
            image, validity = reader.read(window, max_side_px=max_side_px)
        image[~validity] = 255
        self._kept[key] = image
        while len(self._kept) > 4:
            self._kept.popitem(last=False)
        return image

    def read_mask(self, raster_name: str, window: Window, *, max_side_px: int) -> npt.NDArray[np.uint8]:
        """Class ids ``(h, w)`` uint8 of a window inside the raster; where it is larger, every n-th pixel."""
        step = max(1, -(-max(window.shape) // max_side_px))
        return self._place.masks.read_mask(self._rasters[raster_name].slug, window, step=step)


def _write_survey_files(
    files: OutputFiles, results: tuple[StructureResult, ...], run: RunIdentity, georeferences: Mapping[str, Any]
) -> None:
    files.write_json("defects.geojson", defects_geojson(results), content_type="application/geo+json")
    files.write("defects.csv", defects_csv(results).encode(), "text/csv; charset=utf-8")
    links = (
        FileLink("Defects, GeoJSON", "defects.geojson", "every defect with its figures, in WGS 84"),
        FileLink("Defects, CSV", "defects.csv", "every defect as a table, units in the headings"),
        FileLink("Manifest", "manifest.json", "inputs, model, settings, timings and checksums of this run"),
    )
    html = render_index_html(results, run=run, georeferences=georeferences, files=links)
    files.write("index.html", html.encode(), "text/html; charset=utf-8")

"""The plan: its run key names exactly what changes the result."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rasterio.crs import CRS

from segmentation.errors import InputRejected
from segmentation.georeference import Georeference
from segmentation.models.registry import LoadedModel, load_model
from segmentation.records import RasterInput, SourceObject, Survey
from tasks.plan import EngineSettings, InspectionPlan, MeasureSettings, make_plan
from tasks.report_settings import ReportSettings, ordered_formats
from tests.tasks.runs import REPORT


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("spanscan-unet")


def survey(*, sha256: str = "a" * 64, gsd_m: float = 0.0015, name: str = "deck.tif") -> Survey:
    georeference = Georeference(5000, 3000, (gsd_m, 0, 691_600, 0, -gsd_m, 5_334_800), CRS.from_epsg(32632).to_wkt())
    source = SourceObject(f"/in/{name}", 1, "etag", None, sha256)
    raster = RasterInput(name, "deck", source, georeference, gsd_m, "uint8", (1, 2, 3), (0.0, 255.0))
    return Survey("bridge-7", "/in", (raster,), (), None)


ENGINE = EngineSettings("cpu", "fp32", 2, 1, None, 2048, 10**10)
MEASURE = MeasureSettings(2.0, 24.0, 64, ("astm-d610",))


def planned(model: LoadedModel, of: Survey, engine: EngineSettings, measure: MeasureSettings) -> InspectionPlan:
    return make_plan(of, model, model_path="spanscan-unet", engine=engine, measure=measure, report=REPORT)


@dataclass(frozen=True)
class Change:
    id: str
    apply: Callable[[], tuple[Survey, EngineSettings, MeasureSettings]]
    same_key: bool


CHANGES = [
    Change("another-folder-the-same-run", lambda: (replace(survey(), uri="s3://b/in"), ENGINE, MEASURE), True),
    Change("more-workers-the-same-run", lambda: (survey(), replace(ENGINE, workers=7), MEASURE), True),
    Change("smaller-tiles-the-same-run", lambda: (survey(), replace(ENGINE, tile_core_px=512), MEASURE), True),
    Change(
        "another-memory-limit-the-same-run",
        lambda: (survey(), replace(ENGINE, memory_limit_bytes=10**11), MEASURE),
        True,
    ),
    Change("other-pixels-another-run", lambda: (survey(sha256="b" * 64), ENGINE, MEASURE), False),
    Change("another-gsd-another-run", lambda: (survey(gsd_m=0.002), ENGINE, MEASURE), False),
    Change("another-raster-name-another-run", lambda: (survey(name="deck2.tif"), ENGINE, MEASURE), False),
    Change("another-precision-another-run", lambda: (survey(), replace(ENGINE, precision="bf16"), MEASURE), False),
    Change(
        "another-least-width-another-run", lambda: (survey(), ENGINE, replace(MEASURE, min_crack_width_px=3.0)), False
    ),
    Change("compiled-by-torch-the-same-run", lambda: (survey(), replace(ENGINE, compiled=True), MEASURE), True),
    Change(
        "nothing-outside-structures-another-run",
        lambda: (survey(), replace(ENGINE, skip_outside_structures=True), MEASURE),
        False,
    ),
    Change("another-operator-another-run", lambda: (replace(survey(), operator="Ada"), ENGINE, MEASURE), False),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.id)
def test_the_run_key_names_what_changes_the_result(model: LoadedModel, change: Change) -> None:
    control = planned(model, survey(), ENGINE, MEASURE)
    assert (planned(model, *change.apply()).run_key == control.run_key) is change.same_key


def test_a_gsd_the_model_is_not_offered_for_is_refused_with_both_figures(model: LoadedModel) -> None:
    high = model.card.gsd_range_m[1]
    with pytest.raises(InputRejected, match="GSD") as refusal:
        planned(model, survey(gsd_m=2 * high), ENGINE, MEASURE)
    assert refusal.value.code == "E_GSD_RANGE"
    assert f"{2 * high * 1000:g}" in str(refusal.value)
    assert f"{high * 1000:g}" in str(refusal.value)


def test_the_tile_core_shrinks_to_fit_the_memory(model: LoadedModel) -> None:
    roomy = planned(model, survey(), ENGINE, MEASURE)
    limit = roomy.memory.total_bytes - 1
    tight = planned(model, survey(), replace(ENGINE, memory_limit_bytes=limit), MEASURE)
    assert tight.inference.geometry.core_px < roomy.inference.geometry.core_px
    assert tight.memory.total_bytes <= limit


def test_the_projected_memory_does_not_grow_with_the_raster(model: LoadedModel) -> None:
    small = survey()
    grown = replace(small.rasters[0].georeference, height=100_000, width=100_000)
    large = replace(small, rasters=(replace(small.rasters[0], georeference=grown),))
    assert planned(model, large, ENGINE, MEASURE).memory == planned(model, small, ENGINE, MEASURE).memory


def test_a_standard_of_ones_own_counts_by_what_it_holds(model: LoadedModel, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.yaml", "two.yaml", "other.yaml")]
    for path, text in zip(paths, ("a: 1", "a: 1", "a: 2"), strict=True):
        path.write_text(text)
    keys = [planned(model, survey(), ENGINE, replace(MEASURE, standards=(str(p),))).run_key for p in paths]
    assert keys[0] == keys[1] != keys[2]


def test_a_graph_made_of_the_weights_is_another_run(model: LoadedModel) -> None:
    engine = replace(ENGINE, runtime="openvino")
    keys = {
        make_plan(
            survey(),
            model,
            model_path="spanscan-unet",
            engine=engine,
            measure=MEASURE,
            report=REPORT,
            compiled=compiled,
        ).run_key
        for compiled in (None, ("/a", "1" * 64), ("/b", "1" * 64), ("/a", "2" * 64))
    }
    assert len(keys) == 3


def test_other_files_to_publish_are_another_run_but_not_in_another_order(model: LoadedModel) -> None:
    def key(formats: tuple[str, ...], worst_count: int = 12) -> str:
        report = ReportSettings(ordered_formats(formats), worst_count)
        return make_plan(
            survey(), model, model_path="spanscan-unet", engine=ENGINE, measure=MEASURE, report=report
        ).run_key

    assert key(("html", "pdf")) == key(("pdf", "json", "html"))
    assert len({key(("html", "pdf")), key(("html",)), key(("html", "pdf"), worst_count=3)}) == 3

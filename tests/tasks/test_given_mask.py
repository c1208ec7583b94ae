"""A mask made by somebody else: its damage comes out as it was drawn, by the stages of an inspection, resumable."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from distributed import Client

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass
from segmentation.errors import InputRejected
from segmentation.inference.geometry import blocks
from segmentation.inference.predictor import SegmentedWindow
from segmentation.models.registry import load_model
from segmentation.records import StructureResult
from segmentation.synthetic.deck import deck_scene
from segmentation.synthetic.scenes import Scene
from tasks.cluster import dask_client
from tasks.given_mask import copy_mask
from tasks.layers.columns import Cell
from tasks.layers.defect_table import defect_table
from tasks.measure import measure_survey
from tasks.plan import EngineSettings, make_plan
from tasks.publish import RunFigures, publish_run, published_run
from tasks.report.findings import summary_sentence
from tasks.report.record import report_schema
from tasks.report_settings import ReportSettings, ordered_formats
from tasks.report_survey import run_identity, write_reports
from tasks.segment import BlockRecord, SegmentOutcome, count_classes
from tasks.stitch import StitchOutcome, join_components
from tests.tasks.given_masks import BLOCK_PX, MEASURE, Run, measured, place_of, planned, write_mask, write_scene
from tests.tasks.report.pages import parse
from tests.tasks.report.samples import RUN
from tests.tasks.runs import REPORT, place_in
from tests.tasks.surveys import write_raster


def figures_of(results: Sequence[StructureResult]) -> tuple[tuple[Cell, ...], ...]:
    """All that the layers say of the defects, as though of one run."""
    return defect_table(results, run=RUN, rasters=()).values


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with dask_client(scheduler=None, workers=2) as client:
        yield client


@pytest.fixture(scope="module")
def scene() -> Scene:
    return deck_scene(np.random.default_rng([2, 0]), scale=0.1)


@pytest.fixture(scope="module")
def pictured(scene: Scene, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("pictured")
    mask, image = write_scene(folder, scene)
    return measured(folder, client, mask, image=image)


@pytest.fixture(scope="module")
def alone(scene: Scene, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("alone")
    return measured(folder, client, write_scene(folder, scene)[0])


@pytest.mark.parametrize(
    ("name", "length_error"), [("pictured", 0.02), ("alone", 0.03)], ids=["with-the-picture", "by-the-mask-alone"]
)
def test_the_true_mask_gives_the_true_crack_length_and_rust_area(
    name: str, length_error: float, scene: Scene, request: pytest.FixtureRequest
) -> None:
    """Length by the mask alone misses the 2 % that the picture allows: its centre lines lose the finest wiggles."""
    run: Run = request.getfixturevalue(name)
    (result,) = run.measured.results
    assert result.cracks.count == len(scene.truth.cracks)
    assert result.cracks.total_length_m == pytest.approx(scene.truth.total_crack_length_m, rel=length_error)
    assert result.rust.area_m2 == pytest.approx(scene.truth.rust_area_m2, rel=0.01)
    assert result.inspected_area_m2 == pytest.approx(scene.validity.sum() * scene.truth.gsd_m**2, rel=0.001)


def test_widths_come_from_the_picture_where_there_is_one_and_else_from_the_mask(pictured: Run, alone: Run) -> None:
    methods = {
        name: {d.crack.width_method for r in run.measured.results for d in r.defects if d.crack is not None}
        for name, run in (("pictured", pictured), ("alone", alone))
    }
    assert "profile" in methods["pictured"]
    assert methods["alone"] == {"distance"}
    assert any("mask alone" in warning for warning in alone.measured.warnings)
    assert not any("mask alone" in warning for warning in pictured.measured.warnings)


def test_widths_of_the_mask_alone_have_a_wide_uncertainty(alone: Run) -> None:
    for defect in alone.measured.results[0].defects:
        if defect.crack is not None:
            assert defect.crack.width_uncertainty_mm >= defect.crack.max_width_mm / 4


def test_the_defects_are_those_of_an_inspection_whose_model_had_made_the_same_mask(
    pictured: Run, client: Client, tmp_path: Path
) -> None:
    """The masks are written as the segment stage writes them, in other blocks, and measured under its plan."""
    (raster,) = pictured.plan.survey.rasters
    engine = EngineSettings("cpu", "fp32", 2, 1, 256, 1024, 10**10)
    plan = make_plan(
        pictured.plan.survey,
        load_model("spanscan-unet"),
        model_path="spanscan-unet",
        engine=engine,
        measure=MEASURE,
        report=REPORT,
    )
    place = place_in(tmp_path)
    place.masks.create(raster, block_px=1024)
    records = []
    for block in plan.rasters[0].blocks:
        classes = pictured.place.masks.read_mask(raster.slug, block.window)
        probability = pictured.place.masks.read_probability(raster.slug, block.window)
        place.masks.write_block(raster.slug, block.window, SegmentedWindow(classes, probability))
        records.append(BlockRecord(raster.slug, block, count_classes(classes), 0.0))
    segmented = SegmentOutcome(tuple(records), 0, 0.0)
    stitched = StitchOutcome(join_components(plan, place, client, segmented=segmented), None)
    inspected = measure_survey(plan, place, client, segmented=segmented, stitched=stitched)
    assert len(inspected.results[0].defects) > 3
    assert figures_of(inspected.results) == figures_of(pictured.measured.results)


def test_report_and_manifest_name_the_mask_and_no_model(pictured: Run) -> None:
    run = pictured
    plan = replace(run.plan, report=ReportSettings(ordered_formats(("html", "pdf", "index")), worst_count=2))
    reported = write_reports(
        plan, run.place, run.measured, None, mask_files={}, workers=1, on_structure=lambda _done, _all: None
    )
    figures = RunFigures({"copy": 1.0}, run.plan.pixels, run.plan.block_count, 0, 1, {})
    published = publish_run(run.plan, run.place, run.measured, reported, None, figures)
    folder = Path(run.place.run_uri)
    sha256 = run.plan.mask.source.sha256
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["given_mask"] == {
        "name": "labels.tif",
        "sha256": sha256,
        "image_name": "deck.tif",
        "only_class": None,
    }
    assert (manifest["model"], manifest["seam_proof"], manifest["method"]) == (None, None, None)
    (structure,) = (folder / "structures").iterdir()
    report = json.loads((structure / "report.json").read_text())
    jsonschema.validate(report, report_schema())
    assert report["run"]["model"] is None
    assert report["run"]["given_mask"] == {
        "name": "labels.tif",
        "sha256": sha256,
        "image": "deck.tif",
        "only_class": None,
    }
    text = parse((structure / "report.html").read_text()).text
    assert sha256 in text
    assert "seen by the model" not in text
    assert "the mask was given and nothing was inferred" in text
    assert published_run(run.place) is not None
    assert published.structures[0].crack_length_m is not None


def test_a_second_attempt_copies_no_finished_block_again(pictured: Run, client: Client) -> None:
    run = pictured
    written = {p: p.stat().st_mtime_ns for p in Path(run.place.run_uri).glob("masks.zarr/**/c/**/*") if p.is_file()}
    again = copy_mask(run.plan, run.place, client, on_block=lambda done, of: None)
    assert written
    assert again.resumed == run.plan.block_count
    assert {p: p.stat().st_mtime_ns for p in written} == written


def test_the_store_holds_the_mask_with_probability_1_inside(scene: Scene, pictured: Run) -> None:
    (raster,) = pictured.plan.survey.rasters
    (window,) = (b.window for b in blocks(*scene.mask.shape, block_px=1024))
    stored = pictured.place.masks.read_mask(raster.slug, window)
    assert np.array_equal(stored, np.where(scene.validity, scene.mask, NODATA))
    expected = np.stack([stored == PixelClass.CRACK, stored == PixelClass.RUST]) * 255
    assert np.array_equal(pictured.place.masks.read_probability(raster.slug, window), expected)


def test_a_mask_of_0_and_255_is_the_mask_of_its_class(client: Client, tmp_path: Path) -> None:
    drawn = np.zeros((200, 700), np.uint8)
    drawn[20:120, 480:560] = 255
    drawn[150:, :100] = 128
    ids = np.select([drawn == 255, drawn == 128], [2, 255], 0).astype(np.uint8)
    one = measured(tmp_path, client, write_mask(tmp_path / "one/m.tif", drawn), single=PixelClass.RUST)
    other = measured(tmp_path, client, write_mask(tmp_path / "ids/m.tif", ids))
    assert one.plan.run_key != other.plan.run_key
    assert figures_of(one.measured.results) == figures_of(other.measured.results)
    (result,) = one.measured.results
    assert result.rust.area_m2 == pytest.approx(100 * 80 * 0.0020007**2, rel=1e-3)
    assert result.coverage_percent == pytest.approx(100 * (1 - 50 * 100 / (200 * 700)), abs=0.01)


@pytest.mark.parametrize(
    ("single", "words", "standards"),
    [
        (PixelClass.CRACK, "rust was not looked for", {"aashto-mbei-concrete-cracking"}),
        (PixelClass.RUST, "cracks were not looked for", {"astm-d610"}),
        (None, "no rust was found", set(MEASURE.standards)),
    ],
    ids=["cracks-alone", "rust-alone", "both"],
)
def test_a_mask_of_one_class_says_nothing_of_the_other(
    single: PixelClass | None, words: str, standards: set[str], client: Client, tmp_path: Path
) -> None:
    """Symptom to guard against: steel graded as free of rust by a mask on which nobody drew rust."""
    drawn = np.zeros((96, 130), np.uint8)
    drawn[40:44, 20:110] = 1 if single is None else 255
    run = measured(tmp_path, client, write_mask(tmp_path / "m.tif", drawn), single=single)
    assert set(run.plan.measure.standards) == standards
    assert any("was not looked for" in warning for warning in run.measured.warnings) == (single is not None)
    sentence = summary_sentence(run.measured.results[0], run_identity(run.plan, run.measured))
    assert words in sentence


def test_nothing_is_called_undamaged_where_the_picture_holds_no_data(client: Client, tmp_path: Path) -> None:
    classes = np.zeros((96, 130), np.uint8)
    classes[40:60, 10:40] = 2
    bands = np.full((4, 96, 130), 120, np.uint8)
    bands[3, 50:] = 0
    mask = write_mask(tmp_path / "m.tif", classes)
    image = write_raster(tmp_path / "image.tif", bands, photometric="RGB", alpha="YES")
    run = measured(tmp_path, client, mask, image=image)
    (result,) = run.measured.results
    assert result.coverage_percent == pytest.approx(100 * (50 * 130 + 10 * 30) / (96 * 130), abs=0.01)
    assert result.rust.area_m2 == pytest.approx(20 * 30 * 0.0020007**2, rel=1e-3)


def test_255_without_any_damage_is_refused_as_ambiguous(client: Client, tmp_path: Path) -> None:
    """Symptom to guard against: a mask of 0 and 255 reported as undamaged, all its damage taken for unseen."""
    drawn = np.zeros((96, 130), np.uint8)
    drawn[10:20, 10:90] = 255
    plan = planned(tmp_path, write_mask(tmp_path / "m.tif", drawn))
    with pytest.raises(InputRejected, match="--class crack") as caught:
        copy_mask(plan, place_of(plan, tmp_path), client, on_block=lambda done, of: None)
    assert caught.value.code == "E_MASK_AMBIGUOUS"
    declared = measured(tmp_path, client, write_mask(tmp_path / "d.tif", drawn, nodata=255))
    assert declared.measured.results[0].coverage_percent == pytest.approx(100 * (1 - 800 / (96 * 130)), abs=0.01)


def test_a_value_beyond_the_sample_is_refused_when_it_is_copied(client: Client, tmp_path: Path) -> None:
    classes = np.zeros((4000, 4000), np.uint8)
    classes[560, 560] = 7
    plan = planned(
        tmp_path, write_mask(tmp_path / "m.tif", classes, blockxsize=256, blockysize=256, compress="deflate")
    )
    with pytest.raises(InputRejected, match=r"got 7 \(first in row 560, column 560\)") as caught:
        copy_mask(plan, place_of(plan, tmp_path), client, on_block=lambda done, of: None)
    assert caught.value.code == "E_MASK_VALUES"


@pytest.mark.parametrize("value", [NODATA, NOT_INSPECTED])
def test_a_mask_that_nobody_inspected_is_refused(value: int, client: Client, tmp_path: Path) -> None:
    plan = planned(tmp_path, write_mask(tmp_path / "m.tif", np.full((96, 130), value, np.uint8), nodata=value))
    with pytest.raises(InputRejected) as caught:
        copy_mask(plan, place_of(plan, tmp_path), client, on_block=lambda done, of: None)
    assert caught.value.code == "E_ALL_NODATA"
    assert plan.block_count == -(-130 // BLOCK_PX)

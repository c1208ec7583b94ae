"""Stitching: the components of the stored mask, and a proof that catches a mask which is not that of one pass."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from scipy.ndimage import label

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.errors import RunFailed
from segmentation.georeference import Georeference
from segmentation.inference.geometry import TileGeometry, blocks
from segmentation.inference.predictor import SegmentedWindow
from segmentation.measurement.components import join_blocks
from segmentation.models.registry import load_model
from segmentation.records import RasterInput, SourceObject, Survey
from segmentation.synthetic.crops import sample_crop
from segmentation.windows import Window
from tasks.cluster import dask_client
from tasks.mask_store import MaskStore
from tasks.plan import EngineSettings, InspectionPlan, MeasureSettings, make_plan
from tasks.report_survey import seam_sentence
from tasks.run_place import RunPlace
from tasks.seam_proof import KINDS, ROUNDING, SEAM_SIDE_PX, beyond_rounding, border_windows, one_piece, probes
from tasks.segment import BlockRecord, SegmentOutcome, count_classes, segment_blocks
from tasks.stitch import label_shard, stitch_blocks
from tasks.storage import open_storage
from tasks.storage_local import file_sha256, pin_local
from tests.tasks.runs import REPORT
from tests.tasks.surveys import GSD_M, UTM_PLACE, write_raster

HEIGHT, WIDTH, SEEN_FROM = 620, 1100, 300
BLOCK_PX = 512


def raster_of(source: SourceObject, *, height: int, width: int) -> RasterInput:
    georeference = Georeference(height, width, tuple(UTM_PLACE)[:6], CRS.from_epsg(32615).to_wkt())
    return RasterInput("deck.tif", "deck", source, georeference, GSD_M, "uint8", (1, 2, 3), (0.0, 255.0))


def plan_of(raster: RasterInput) -> InspectionPlan:
    return make_plan(
        Survey("bridge", "/in", (raster,), (), None),
        load_model("spanscan-unet"),
        model_path="spanscan-unet",
        engine=EngineSettings(
            device="cpu",
            precision="fp32",
            workers=2,
            batch=1,
            tile_core_px=256,
            block_px=BLOCK_PX,
            memory_limit_bytes=10**10,
        ),
        measure=MeasureSettings(2.0, 24.0, 64, ("astm-d610",)),
        report=REPORT,
    )


def place_in(folder: Path) -> RunPlace:
    results = open_storage(str(folder / "results"), endpoint_url=None, region=None)
    storage = results.child("runs/1")
    masks = MaskStore(storage.uri("masks.zarr"), None, None)
    return RunPlace(results, storage, storage.uri(""), masks, folder / "staging", None, None)


@dataclass(frozen=True)
class Run:
    plan: InspectionPlan
    place: RunPlace
    client: Client
    segmented: SegmentOutcome


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with dask_client(scheduler=None, workers=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A segmented raster of damage, whose left columns are nodata, in fp32."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(5)
    picture = np.concatenate([sample_crop(rng, size_px=HEIGHT).image for _ in range(2)], axis=1)[:, :WIDTH]
    known = np.full((HEIGHT, WIDTH), 255, np.uint8)
    known[:, :SEEN_FROM] = 0
    path = write_raster(folder / "deck.tif", np.moveaxis(picture, -1, 0), mask=known)
    size_bytes, etag = pin_local(path)
    source = SourceObject(str(path), size_bytes, etag, None, file_sha256(path))
    plan, place = plan_of(raster_of(source, height=HEIGHT, width=WIDTH)), place_in(folder)
    return Run(plan, place, client, segment_blocks(plan, place, client, on_block=lambda done, of: None))


@pytest.fixture
def swapped(run: Run, tmp_path: Path) -> Run:
    """A copy of the run with background and crack swapped in every shard, and in the records, so that these agree."""
    place = place_in(tmp_path)
    shutil.copytree(run.place.masks.uri, place.masks.uri)
    records = []
    for record in run.segmented.records:
        window = record.block.window
        mask = run.place.masks.read_mask("deck", window)
        other = np.where(mask <= 1, 1 - mask, mask).astype(np.uint8)
        probability = run.place.masks.read_probability("deck", window)
        place.masks.write_block("deck", window, SegmentedWindow(other, probability))
        records.append(replace(record, class_px=count_classes(other)))
    return replace(run, place=place, segmented=replace(run.segmented, records=tuple(records)))


def test_the_proof_holds_for_a_run_as_it_is_and_looks_at_every_kind_of_border(run: Run) -> None:
    outcome = stitch_blocks(run.plan, run.place, run.client, segmented=run.segmented)
    proof = outcome.seam_proof
    assert proof.method == "exact"
    assert (proof.block_borders, proof.tile_borders, proof.raster_edges) == (1, 1, 1)
    assert proof.pixels > 3 * SEAM_SIDE_PX**2 / 4
    assert proof.beyond_rounding_pixels == 0
    assert proof.largest_probability_difference <= 1 / 255
    assert "Seam proof (exact): 3 windows" in seam_sentence(proof)
    mask = run.place.masks.read_mask("deck", Window(0, HEIGHT, 0, WIDTH))
    assert sum(c.area_px for c in outcome.components["deck"]) == np.isin(mask, (1, 2)).sum()


def test_a_falsified_mask_stops_the_run(swapped: Run) -> None:
    """The records agree with the shards, so that only the proof can tell."""
    with pytest.raises(RunFailed, match="beyond rounding in rows") as failure:
        stitch_blocks(swapped.plan, swapped.place, swapped.client, segmented=swapped.segmented)
    assert failure.value.code == "E_SEAM"
    assert failure.value.subject == "deck.tif"


def test_where_a_difference_is_expected_it_is_stated_and_does_not_stop_the_run(swapped: Run) -> None:
    geometry = replace(swapped.plan.inference.geometry, method="overlap-tile")
    plan = replace(swapped.plan, inference=replace(swapped.plan.inference, geometry=geometry))
    proof = stitch_blocks(plan, swapped.place, swapped.client, segmented=swapped.segmented).seam_proof
    assert proof.method == "overlap-tile"
    assert proof.differing_pixels > 0
    assert "difference is expected" in seam_sentence(proof)


def test_a_shard_that_is_not_what_its_record_says_stops_the_run(run: Run) -> None:
    damaged = next(r for r in run.segmented.records if r.class_px.get(1) or r.class_px.get(2))
    lying = replace(damaged, class_px={**damaged.class_px, 1: damaged.class_px.get(1, 0) + 1})
    with pytest.raises(RunFailed, match="the shard must hold the pixels of its record") as failure:
        label_shard(lying, run.place)
    assert failure.value.code == "E_STORE"


def huge_plan() -> InspectionPlan:
    return plan_of(raster_of(SourceObject("/nowhere/deck.tif", 1, "e", None, "0" * 64), height=100_000, width=100_000))


def test_blocks_without_damage_are_not_read(client: Client, tmp_path: Path) -> None:
    """There is nothing to read: neither the raster nor the store exists."""
    plan = huge_plan()
    records = tuple(BlockRecord("deck", b, {NODATA: b.window.area_px}, 0.0) for b in plan.rasters[0].blocks)
    outcome = stitch_blocks(plan, place_in(tmp_path), client, segmented=SegmentOutcome(records, 0, 0.0))
    assert len(outcome.components["deck"]) == 0
    assert outcome.seam_proof.windows == 0
    assert "no pixel beside a border" in seam_sentence(outcome.seam_proof)


def test_the_run_key_alone_decides_where_the_proof_looks() -> None:
    plan = huge_plan()
    records = [
        BlockRecord("deck", b, {0: b.window.area_px} if b.row % 7 == 3 else {NODATA: b.window.area_px}, 0.0)
        for b in plan.rasters[0].blocks
    ]
    drawn = probes(plan, records=records)
    assert drawn == probes(plan, records=records)
    assert drawn != probes(replace(plan, run_key="another"), records=records)
    assert [work.kind for work in drawn] == list(KINDS)
    assert all(block.row % 7 == 3 for work in drawn for block in work.blocks)


@given(st.integers(1, 1500), st.integers(1, 1500), st.sampled_from([256, 512, 1024]), st.sampled_from([48, 256]))
def test_every_border_of_a_raster_has_a_window_across_it(height: int, width: int, block_px: int, core_px: int) -> None:
    raster = raster_of(SourceObject("/a", 1, "e", None, "0" * 64), height=height, width=width)
    geometry = TileGeometry(alignment_px=16, halo_px=64, core_px=core_px)
    for block in blocks(height, width, block_px=block_px):
        own = block.window
        windows = {kind: [*border_windows(block, raster, geometry, kind=kind)] for kind in KINDS}
        assert all(w.clip(height, width) == w and w.area_px > 0 for ws in windows.values() for w in ws)
        for kind, at in (("block border", own.row_stop), ("tile border", own.row_start + core_px)):
            if at < height and (kind == "block border" or at < own.row_stop):
                assert any(w.row_start < at < w.row_stop for w in windows[kind])
        if own.col_start == 0:
            assert any(w.col_start == 0 for w in windows["raster edge"])


@given(st.sampled_from(["exact", "overlap-tile"]), st.integers(1, 40), st.sampled_from([(0, 0, 112), (92, 12, 92)]))
def test_a_window_of_the_proof_is_one_tile(method: str, core_steps: int, net: tuple[int, int, int]) -> None:
    margin_px, residue_px, halo_px = net
    geometry = TileGeometry(16, halo_px, 16 * core_steps, margin_px, residue_px, method)
    single = one_piece(geometry)
    assert single.core_px >= SEAM_SIDE_PX + geometry.alignment_px - 1
    assert single.halo_px >= geometry.halo_px
    assert single.method == "exact"


@dataclass(frozen=True)
class Pixel:
    id: str
    stored: int
    whole: int
    crack_rust: tuple[int, int]
    """Probabilities of crack and rust in the one piece, of 255."""
    beyond: bool


PIXELS = [
    Pixel("equal-is-equal", 1, 1, (255, 0), False),
    Pixel("a-tie-may-fall-either-way", 0, 1, (129, 0), False),
    Pixel("a-sure-class-may-not", 0, 1, (250, 0), True),
    Pixel("nor-a-sure-background", 2, 0, (0, 3), True),
    Pixel("a-tie-of-two-classes-excuses-no-third", 2, 1, (128, 0), True),
    Pixel("nodata-where-there-is-a-picture", NODATA, 0, (0, 0), True),
    Pixel("damage-where-there-is-no-picture", 1, NODATA, (0, 0), True),
    Pixel("what-was-not-inspected-says-nothing", NOT_INSPECTED, 1, (255, 0), False),
]


@pytest.mark.parametrize("case", PIXELS, ids=lambda case: case.id)
def test_what_rounding_excuses(case: Pixel) -> None:
    whole = SegmentedWindow(np.array([[case.whole]], np.uint8), np.array(case.crack_rust, np.uint8).reshape(2, 1, 1))
    found = beyond_rounding(np.array([[case.stored]], np.uint8), whole, allowance=ROUNDING["bfloat16"])
    assert found.tolist() == [[case.beyond]]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0005, 0.02, 0.4]), st.integers(1, 700), st.integers(1, 700))
def test_the_components_of_the_store_are_those_of_its_mask(
    tmp_path_factory: pytest.TempPathFactory, seed: int, share: float, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.choice(
        np.array([0, 1, 2, NODATA], np.uint8),
        (height, width),
        p=[0.9 * (1 - share), share / 2, share / 2, (1 - share) / 10],
    )
    place = place_in(tmp_path_factory.mktemp("store"))
    raster = raster_of(SourceObject("/a", 1, "e", None, "0" * 64), height=height, width=width)
    place.masks.create(raster, block_px=BLOCK_PX)
    tables = []
    for block in blocks(height, width, block_px=BLOCK_PX):
        own = mask[block.window.slices()]
        place.masks.write_block("deck", block.window, SegmentedWindow(own, np.zeros((2, *own.shape), np.uint8)))
        tables += label_shard(BlockRecord("deck", block, count_classes(own), 0.0), place)
    expected = np.concatenate(
        [np.bincount(label(mask == value, structure=np.ones((3, 3)))[0].ravel())[1:] for value in (1, 2)]
    )
    assert sorted(c.area_px for c in join_blocks(tables)) == sorted(expected.tolist())

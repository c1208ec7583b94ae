"""What a run keeps of its measurement comes back as it was, to the last bit."""

import gzip
from dataclasses import dataclass, replace
from math import inf, isnan, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.errors import InputRejected
from segmentation.records import CrackBranch, CrackEnd, StructureResult
from tasks.output_files import OutputFiles
from tasks.plan import MeasureSettings
from tasks.report_settings import ReportSettings
from tasks.review.kept_results import KEPT_RESULTS, KeptRun, read_kept_results, write_kept_results
from tasks.review.plain_records import from_plain, to_plain
from tasks.storage import open_storage
from tests.tasks.report.samples import RUN, bridge_deck, clean_deck, unseen_pier

STATED = replace(RUN, settings={"min_crack_width_px": 2.0, "tile_core_px": 1024, "method": "exact", "outside": None})
KEPT = KeptRun(STATED, (), "none", MeasureSettings(2.0, 24.0, 64, ("astm-d610",)), ReportSettings(("json",), 3), ("a",))


def with_parts() -> StructureResult:
    deck = bridge_deck()
    part = replace(deck, structure=replace(deck.structure, id="part", component_of="deck"))
    crack = deck.defects[0].crack
    assert crack is not None
    branched = replace(
        crack,
        branches=(CrackBranch(1.5, 30.0, None, None, 1.0, 0.9, 0.8, (3.0, 4.0)),),
        ends=(CrackEnd(1.0, 2.0, 3.0),),
    )
    return replace(deck, components=(part,), defects=(replace(deck.defects[0], crack=branched), *deck.defects[1:]))


@pytest.mark.parametrize(
    "result", [bridge_deck(), clean_deck(), unseen_pier(), with_parts()], ids=["damage", "clean", "unseen", "parts"]
)
def test_every_figure_and_geometry_comes_back_from_the_file(result: StructureResult, tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path), endpoint_url=None, region=None)
    write_kept_results(OutputFiles(storage), KEPT, [result, result])
    kept = read_kept_results(storage)
    assert kept.of == KEPT
    assert kept.structures == (result, result)


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        files = OutputFiles(open_storage(str(tmp_path / name), endpoint_url=None, region=None))
        write_kept_results(files, KEPT, [bridge_deck()])
        written.append((tmp_path / name / KEPT_RESULTS).read_bytes())
    assert written[0] == written[1]


@given(st.floats(allow_nan=False))
def test_a_figure_comes_back_to_its_last_bit(value: float) -> None:
    assert from_plain(float, to_plain(value)) == value


def test_figures_that_are_not_finite_come_back() -> None:
    assert [from_plain(float, to_plain(value)) for value in (inf, -inf)] == [inf, -inf]
    assert isnan(from_plain(float, to_plain(nan)))


@dataclass(frozen=True)
class Spoiled:
    id: str
    data: bytes | None


@pytest.mark.parametrize(
    "case",
    [
        Spoiled("a-run-of-an-older-version", None),
        Spoiled("no-gzip", b"{}"),
        Spoiled("nothing-in-it", gzip.compress(b"")),
        Spoiled("cut-off", gzip.compress(b'{"run": {}}\n' * 50)[:40]),
        Spoiled("another-document", gzip.compress(b'{"hello": 1}\n')),
    ],
    ids=lambda case: case.id,
)
def test_a_run_that_keeps_none_is_refused_in_one_line(case: Spoiled, tmp_path: Path) -> None:
    if case.data is not None:
        (tmp_path / KEPT_RESULTS).write_bytes(case.data)
    with pytest.raises(InputRejected, match="E_NO_RESULTS"):
        read_kept_results(open_storage(str(tmp_path), endpoint_url=None, region=None))

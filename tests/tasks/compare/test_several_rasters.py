"""Surveys of several rasters that overlap: a structure across their seams is compared as if it lay in one."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed import Client
from shapely.geometry import LineString

from segmentation.comparison.similarity import Similarity
from segmentation.synthetic.survey_pairs import SurveyPair, survey_pair
from tasks.compare import compare
from tasks.compare.compare import RunComparison
from tasks.compare.published import PublishedRun
from tasks.compare.record import comparison_json
from tests.tasks.compare.published_pairs import Verdict, compared, verdicts
from tests.tasks.compare.raster_pieces import published_in_pieces, structure

pytestmark = pytest.mark.slow

OLDER_SPANS, NEWER_SPANS = ((0.0, 0.56), (0.44, 1.0)), ((0.0, 0.4), (0.3, 0.72), (0.62, 1.0))
BORDER = 0.5
"""Where the structures meet, as a share of half the surface's width."""


@dataclass(frozen=True)
class Pieces:
    """Both runs, and what was painted."""

    older: PublishedRun
    newer: PublishedRun
    pair: SurveyPair
    folder: Path


@pytest.fixture(scope="module")
def pieces(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Pieces:
    folder = tmp_path_factory.mktemp("pieces")
    pair = survey_pair(47, error=Similarity(1.012, 0.9, 0.021, -0.016), older_gsd_m=0.0024, newer_gsd_m=0.0022)
    wide, high = pair.half_width_m, pair.half_height_m
    structures = (
        structure("deck", (-wide, -high, BORDER * wide, high)),
        structure("pier", (BORDER * wide, -high, wide, high)),
    )
    runs = [
        published_in_pieces(
            folder,
            painted,
            client,
            survey_id=name,
            captured_at=f"{name[-4:]}-05-01",
            spans=spans,
            structures=structures,
        )
        for painted, name, spans in (
            (pair.older, "deck-2024", OLDER_SPANS),
            (pair.newer, "deck-2025", NEWER_SPANS),
        )
    ]
    return Pieces(runs[0], runs[1], pair, folder)


@pytest.fixture(scope="module")
def comparison(pieces: Pieces) -> RunComparison:
    return compared(pieces.older, pieces.newer, pieces.folder)


def judged(comparison: RunComparison, pair: SurveyPair) -> list[Verdict]:
    """What is said of each piece of damage that lies in one of the structures as a whole."""
    by_structure = [verdicts(one, pair) for one in comparison.structures]
    border_m = BORDER * pair.half_width_m
    found = []
    for defect, *said in zip(pair.defects, *by_structure, strict=True):
        border = LineString([(border_m, -9), (border_m, 9)])
        if all(one is None or one.distance(border) > 0.1 for one in (defect.older, defect.newer)):
            found.append(max(said, key=lambda one: len(one.said)))
    return found


def test_both_structures_are_registered_across_the_seams(comparison: RunComparison) -> None:
    for one in comparison.structures:
        assert one.not_compared is None
        assert one.registration is not None
        assert one.registration.of == "imagery"
        assert one.registration.older_to_newer.scale == pytest.approx(1.012, abs=0.001)
        assert one.registration.older_to_newer.rotation_deg == pytest.approx(0.9, abs=0.05)
        assert one.registration.residual_px < 0.5


def test_what_lies_in_two_rasters_is_told_once_and_right(pieces: Pieces, comparison: RunComparison) -> None:
    found = judged(comparison, pieces.pair)
    all_of, right = Counter(v.truth for v in found), Counter(v.truth for v in found if v.said == {v.truth})
    assert len(found) >= 35
    assert all(right[truth] >= 0.9 * count for truth, count in all_of.items()), (all_of, right)
    assert max(abs(v.growth_over_uncertainty) for v in found if v.growth_over_uncertainty is not None) <= 1.0


def test_the_comparison_is_the_same_in_several_processes(
    pieces: Pieces, comparison: RunComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "STRUCTURES_PER_PROCESS", 1)
    shared = compared(pieces.older, pieces.newer, pieces.folder, workers=2)
    assert json.dumps(comparison_json(shared)) == json.dumps(comparison_json(comparison))

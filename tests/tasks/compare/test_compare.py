"""Two published surveys with known truth through the real measurement: every class right, growth within its ±."""

import json
from collections import Counter
from io import BytesIO

import jsonschema
import pyogrio
import pypdf
import pytest

from tasks.compare.chain import RECORD
from tasks.compare.compare import RunComparison
from tasks.compare.record import comparison_schema
from tasks.compare.write import comparison_place, write_comparison, written_before
from tests.tasks.compare.published_pairs import PublishedPair, compared, verdicts

pytestmark = pytest.mark.slow


def test_every_class_is_at_least_nine_tenths_right_and_growth_is_within_its_uncertainty(
    pair: PublishedPair, comparison: RunComparison
) -> None:
    (one,) = comparison.structures
    found = verdicts(one, pair.pair)
    all_of, right = Counter(v.truth for v in found), Counter(v.truth for v in found if v.said == {v.truth})
    assert all(right[truth] >= 0.9 * count for truth, count in all_of.items()), (all_of, right)
    assert not [v for v in found if v.truth == "STATIC" and "GROWN" in v.said]
    ratios = [abs(v.growth_over_uncertainty) for v in found if v.growth_over_uncertainty is not None]
    assert len(ratios) >= 25
    assert max(ratios) <= 1.0
    assert len(one.changes) == len(found)


def test_the_registration_is_stated_with_its_residual(comparison: RunComparison) -> None:
    made = comparison.structures[0].registration
    assert made is not None
    assert made.of == "imagery"
    assert made.older_to_newer.scale == pytest.approx(1.028, abs=0.0005)
    assert made.older_to_newer.rotation_deg == pytest.approx(-1.9, abs=0.02)
    assert 0 < made.residual_px < 0.5


def test_nothing_grows_backwards(pair: PublishedPair) -> None:
    (one,) = compared(pair.newer, pair.older, pair.folder).structures
    assert Counter(change.change.value for change in one.changes) == {
        "STATIC": 25,
        "NEW": 5,
        "REPAIRED": 10,
        "NOT SEEN": 4,
    }


def test_a_comparison_is_published_once_whole_and_after_its_schema(
    pair: PublishedPair, comparison: RunComparison
) -> None:
    place = comparison_place(pair.older, pair.newer, None)
    assert written_before(pair.older, pair.newer, place) is None
    made = write_comparison(comparison, place)
    record = json.loads(place.read(RECORD))
    jsonschema.validate(record, comparison_schema())
    assert all(place.exists(name) for name in record["outputs_sha256"])
    assert set(record["outputs_sha256"]) == {f"comparison.{kind}" for kind in ("html", "pdf", "csv", "geojson", "gpkg")}
    pages = [page.extract_text() for page in pypdf.PdfReader(BytesIO(place.read("comparison.pdf"))).pages]
    changes = comparison.structures[0].changes
    assert all(any(change.stable_id in page for page in pages) for change in changes)
    layers = pyogrio.list_layers(place.uri("comparison.gpkg"))[:, 0].tolist()
    assert {"cracks", "rust"} <= set(layers)
    again = written_before(pair.older, pair.newer, place)
    assert again is not None
    assert again.already_there
    assert again.record == made.record
    lines = place.read("comparison.csv").decode().splitlines()
    assert len(lines) == 1 + len(comparison.structures[0].changes)


def test_stable_ids_and_what_was_not_seen_live_on_to_the_third_survey(
    pair: PublishedPair, comparison: RunComparison
) -> None:
    place = comparison_place(pair.older, pair.newer, None)
    if written_before(pair.older, pair.newer, place) is None:
        write_comparison(comparison, place)
    # The third survey shows what the first did: its covered strip is back, what was new is gone.
    (third,) = compared(pair.newer, pair.older, pair.folder).structures
    first = {change.stable_id for change in comparison.structures[0].changes if change.older_ids}
    carried = {c.stable_id: c for c in comparison.structures[0].changes if c.change == "NOT SEEN"}
    again = {change.stable_id: change for change in third.changes}
    assert first >= {c.stable_id for c in third.changes if c.change == "STATIC"}
    assert {again[stable_id].change.value for stable_id in carried} <= {"STATIC", "GROWN"}


def test_where_the_older_imagery_is_gone_the_masks_are_registered_and_it_is_said(
    pair: PublishedPair, comparison: RunComparison
) -> None:
    image = pair.folder / "deck-2024" / "deck.tif"
    hidden = image.rename(image.with_suffix(".gone"))
    try:
        (one,) = compared(pair.older, pair.newer, pair.folder).structures
    finally:
        hidden.rename(image)
    assert one.not_compared is None
    assert one.registration is not None
    assert one.registration.of == "masks"
    assert any("masks" in note for note in one.notes)
    right = [v for v in verdicts(one, pair.pair) if v.said == {v.truth}]
    assert len(right) >= 0.9 * len(pair.pair.defects)

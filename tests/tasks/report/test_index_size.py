"""The overview of a large survey stays a page that a browser opens."""

from dataclasses import replace

import numpy as np
import pytest

from segmentation.records import StructureResult
from tasks.report.index import render_index_html
from tests.tasks.report.samples import GEOREFERENCES, RUN, bridge_deck, clean_deck, crack, noise_pictures, rust

pytestmark = pytest.mark.slow

MOST_BYTES = 15_000_000


def structures_with_defects(structures: int, defects: int) -> list[StructureResult]:
    """Structures on the sample raster with cracks and rust patches all over it, in equal shares."""
    rng = np.random.default_rng(13)
    results = []
    for number in range(structures):
        deck = bridge_deck(name=f"Structure {number} — 橋梁 {'x' * 40}")
        found = []
        for index in range(defects // structures):
            row, col = int(rng.integers(20, 1850)), int(rng.integers(0, 2500))
            if index % 2:
                found.append(rust(f"R-{number:03d}{index:03d}", row=row, col=col, side_px=int(rng.integers(5, 90))))
            else:
                width_mm = float(rng.uniform(3, 12))
                found.append(
                    crack(f"C-{number:03d}{index:03d}", row=row, col=col, length_px=400, max_width_mm=width_mm)
                )
        structure = replace(deck.structure, id=f"s{number}", slug=f"structure-{number}")
        results.append(replace(deck, structure=structure, defects=tuple(found)))
    return results


def bytes_of(results: list[StructureResult]) -> int:
    html = render_index_html(
        results,
        run=RUN,
        georeferences=GEOREFERENCES,
        files=(),
        pictures=noise_pictures(),
        formats=("html", "pdf", "json"),
        pictured_count=12,
    )
    return len(html.encode())


def test_two_hundred_structures_with_twenty_thousand_defects_stay_below_fifteen_megabytes() -> None:
    assert bytes_of(structures_with_defects(200, 20_000)) < MOST_BYTES


def test_a_hundred_thousand_structures_stay_below_fifteen_megabytes() -> None:
    deck = clean_deck()
    many = [
        replace(deck, structure=replace(deck.structure, id=f"s{number}", slug=f"s-{number}", name=f"Pier {number} 橋"))
        for number in range(100_000)
    ]
    assert bytes_of(many) < MOST_BYTES

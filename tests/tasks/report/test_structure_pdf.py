"""The structure's report as PDF: the same words as its record, on whole pages, whatever the names hold."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from operator import attrgetter
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from segmentation.errors import RunFailed
from segmentation.records import StructureResult
from tasks.report.document import StructureReport
from tasks.report.pdf_data import palette, pdf_data
from tasks.report.severity import NOT_INSPECTED, severity_of
from tasks.report.structure_pdf import structure_pdf
from tests.servers.small_disk import PAGE_BYTES, leave_free
from tests.tasks.report.pdf_pages import (
    all_text,
    clean_report,
    deck_pdf,
    deck_report,
    described_pictures,
    reader_of,
    report_of,
    squeezed,
    strip_is_white,
    texts_of,
)
from tests.tasks.report.samples import (
    RUN,
    bridge_deck,
    crack,
    unseen_pier,
)


def words_of(value: object) -> list[str]:
    """Every text that a record holds, the records inside it included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple | list):
        return [word for item in value for word in words_of(item)]
    if hasattr(value, "__dataclass_fields__"):
        return [word for field in fields(value) for word in words_of(getattr(value, field.name))]  # type: ignore[arg-type]
    return []


@dataclass(frozen=True)
class Part:
    id: str
    words: Callable[[StructureReport], list[str]]


def _row_words(report: StructureReport) -> list[str]:
    names = ("id", "kind", "severity.word", "length", "max_width", "mean_width", "area", "confidence")
    names += ("along", "position", "pixel")
    return [str(attrgetter(name)(row)) for row in report.rows for name in names]


PARTS = (
    Part("title block", lambda report: words_of(report.facts)),
    Part("condition in one sentence", lambda report: [report.sentence]),
    Part("figures of the summary", lambda report: words_of(report.key_facts)),
    Part(
        "standards, quantities and grades",
        lambda report: words_of([(row.standard, row.element, row.quantities, row.remarks) for row in report.grades]),
    ),
    Part("what was not inspected", lambda report: words_of(report.not_inspected)),
    Part("captions of the overview", lambda report: words_of([(o.raster, o.extent, o.note) for o in report.overviews])),
    Part("rows of all defects", _row_words),
    Part(
        "measurements and places of the worst",
        lambda report: words_of(
            [(f.detail.headline, f.detail.measurements, f.detail.location, f.caption) for f in report.figures]
        ),
    ),
    Part(
        "bars of the histograms",
        lambda report: words_of(
            [
                (h.title, h.note, [(bin.label, str(bin.count), bin.amount_label) for bin in h.bins])
                for h in report.histograms
            ]
        ),
    ),
    Part("method and limits", lambda report: words_of(report.limits)),
    Part("thresholds with their sources", lambda report: words_of(report.thresholds)),
    Part("warnings", lambda report: words_of(report.warnings)),
    Part("glossary", lambda report: words_of(report.glossary)),
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.id)
def test_pdf_states_the_same_words_as_the_record(part: Part) -> None:
    words = part.words(deck_report())
    text = squeezed(all_text(deck_pdf()))
    assert any(words)
    assert [word for word in words if squeezed(word) not in text] == []


def test_every_field_of_the_record_is_laid_out() -> None:
    source = files("tasks.report.templates").joinpath("structure.typ").read_text(encoding="utf-8")
    assert [field.name for field in fields(StructureReport) if f"report.{field.name}" not in source] == []


def test_headings_are_bookmarks_in_the_order_an_inspector_expects() -> None:
    outline = reader_of(deck_pdf()).outline
    assert [item.title for item in outline if not isinstance(item, list)] == [
        "Condition",
        "Overview",
        "Worst defects",
        "All defects",
        "Sizes",
        "Method and limits",
        "Warnings",
        "Words",
    ]
    nested = [item.title for inner in outline if isinstance(inner, list) for item in inner]
    assert [re.match(r"[1-4] ?(Crack|Rust) [CR]-\d{4}", name) is not None for name in nested[1:5]] == [True] * 4


def test_every_page_is_numbered_named_and_not_empty() -> None:
    pages = texts_of(deck_pdf())
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page
        assert "East deck, span 3" in page
        assert "Run 9f2c41d07ab3e855" in page
        assert len(page) > 150


def test_each_picture_and_chart_is_in_it_and_described() -> None:
    report = deck_report()
    charts = sum(figure.detail.profile is not None for figure in report.figures) + 2 * len(report.histograms)
    assert len(described_pictures()) == len(report.overviews) + 2 * len(report.figures) + charts
    assert min(map(len, described_pictures())) > 20
    drawn = {image.data for page in reader_of(deck_pdf()).pages for image in page.images}
    files = pdf_data(report).pictures.values()
    assert len(drawn) == len(set(files))


def test_file_says_what_it_is() -> None:
    reader = reader_of(deck_pdf())
    metadata = reader.metadata
    assert metadata is not None
    assert metadata.title == "East deck, span 3"
    assert metadata.author is None
    assert "demo-bridge" in metadata["/Keywords"]
    assert "2025" in metadata["/CreationDate"]
    assert reader.trailer["/Root"]["/Lang"] == "en"
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    xmp = reader.trailer["/Root"]["/Metadata"].get_data()
    assert b"pdfuaid:part" in xmp


@pytest.mark.parametrize("captured_at", [None, "", "spring 2025", "2025-13-40"])
def test_a_date_that_is_none_is_left_out(captured_at: str | None) -> None:
    pdf = structure_pdf(replace(clean_report(), run=replace(RUN, captured_at=captured_at)))
    assert "/CreationDate" not in (reader_of(pdf).metadata or {})


def test_same_record_gives_the_same_bytes_in_every_thread() -> None:
    report = deck_report()
    with ThreadPoolExecutor(2) as threads:
        again = list(threads.map(structure_pdf, [report, replace(report, title="Another"), report]))
    assert again[0] == again[2] == deck_pdf()
    assert again[1] != deck_pdf()


def test_a_report_does_not_remember_the_one_before() -> None:
    alone = structure_pdf(report_of(unseen_pier()))
    structure_pdf(deck_report())
    assert structure_pdf(report_of(unseen_pier())) == alone


def test_unseen_structure_states_no_finding() -> None:
    text = all_text(structure_pdf(report_of(unseen_pier())))
    assert "NOT INSPECTED" in text
    assert NOT_INSPECTED.word in text
    assert "This page is no sign of good condition." in text
    for sign in (
        "All defects",
        "No defect",
        "nothing found",
        "none found",
        "no crack",
        "Worst defects",
        "CS1 good, on",
    ):
        assert sign not in text


def test_clean_structure_points_to_its_limits() -> None:
    text = all_text(structure_pdf(clean_report()))
    assert "No defect was found on the inspected surface. See the limits below for what could have been missed." in text
    assert "nothing found" in text
    assert "All defects" in text


def test_report_without_pictures_holds_all_figures_of_one_with_them() -> None:
    text = squeezed(all_text(structure_pdf(report_of(bridge_deck()))))
    assert [
        word for word in words_of([f.detail.measurements for f in deck_report().figures]) if squeezed(word) not in text
    ] == []


def many_cracks(count: int, *, id_of: str = "C-{:04d}") -> StructureResult:
    defects = (
        crack(
            id_of.format(i),
            row=100 + i * 37 % 1800,
            col=100 + i * 53 % 2000,
            length_px=300,
            max_width_mm=9.0 - i / count,
        )
        for i in range(count)
    )
    return replace(bridge_deck(), defects=tuple(defects))


def test_table_repeats_its_header_on_each_of_its_pages_and_loses_no_row() -> None:
    report = report_of(many_cracks(90), worst_count=1)
    pages = texts_of(structure_pdf(report))
    with_rows = [page for page in pages if re.search(r"C-0\d\d\d crack ", page)]
    assert len(with_rows) >= 3
    assert all("No. Id Class State Length Largest width" in page for page in with_rows)
    assert re.findall(r"\b(\d+) C-\d{4} crack", " ".join(with_rows)) == [str(number) for number in range(1, 91)]


def test_table_that_does_not_fit_says_so_in_the_words_of_the_html() -> None:
    report = report_of(many_cracks(60), worst_count=1)
    report = replace(report, rows=report.rows[:40])
    text = all_text(structure_pdf(report))
    assert "The 40 worst of 60 defects; report.json and defects.csv hold every one." in text


@pytest.mark.slow
def test_two_thousand_rows_are_all_there() -> None:
    report = report_of(many_cracks(2000), worst_count=1)
    text = " ".join(texts_of(structure_pdf(report)))
    assert re.findall(r"\b(\d+) C-\d{4} crack", text) == [str(number) for number in range(1, len(report.rows) + 1)]
    assert len(report.rows) == 2000


def test_pages_with_pictures_keep_their_margins() -> None:
    assert all(strip_is_white(deck_pdf()))
    first = pypdfium2.PdfDocument(deck_pdf())[0].render(scale=1).to_numpy()
    assert np.count_nonzero(first.min(axis=2) < 128) > 2000


def test_report_that_cannot_be_set_fails_with_a_code_and_a_remedy() -> None:
    report = deck_report()
    broken = replace(report.figures[0], plain=replace(report.figures[0].plain, jpeg=b"no picture"))  # type: ignore[type-var]
    with pytest.raises(RunFailed, match="SPANSCAN_REPORT_FORMATS") as failure:
        structure_pdf(replace(report, figures=(broken,)))
    assert failure.value.code == "E_PDF"
    assert failure.value.subject == report.title
    assert "spanscan-pdf-" not in str(failure.value)


def test_a_full_disk_of_temporaries_is_told_as_such(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: E_PDF, and the advice to leave the PDF out. Cause: what a full disk says was taken for typst's word."""
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    leave_free(disk, PAGE_BYTES)
    with pytest.raises(RunFailed, match="free some space") as failure:
        structure_pdf(deck_report())
    assert failure.value.code == "E_DISK_FULL"
    (disk / "filler").unlink()
    assert structure_pdf(deck_report()) == deck_pdf()


@pytest.mark.parametrize("state", ["CS1", "CS2", "CS3", "CS4", "not graded"])
def test_severity_has_the_colours_of_the_style_sheet(state: str) -> None:
    look = palette()[severity_of(state).css]
    assert set(look) == {"fill", "line", "ink"}
    assert all(re.fullmatch("#[0-9a-f]{3,6}", colour) for colour in look.values())


def test_severity_is_told_by_word_and_by_colour() -> None:
    page = pypdfium2.PdfDocument(deck_pdf())[0].render(scale=2).to_numpy()[:, :, 2::-1]
    fill = np.array([int(palette()["sev-3"]["fill"][i : i + 2], 16) for i in (1, 3, 5)])
    assert np.count_nonzero(np.abs(page.astype(int) - fill).max(axis=2) < 4) > 300
    assert "CS3 poor" in texts_of(deck_pdf())[0]


def test_data_holds_no_picture_and_no_figure_that_is_not_finite() -> None:
    data = pdf_data(deck_report())
    assert all("base64" not in text and "NaN" not in text for text in data.texts.values())
    assert len(data.pictures) == len(deck_report().overviews) + 2 * len(deck_report().figures)

"""Reads a report's PDF as its reader does, for the tests; and the reports that they set."""

import re
from functools import cache
from io import BytesIO

import pypdfium2
from pypdf import PdfReader

from segmentation.records import RunIdentity, StructureResult
from tasks.report.document import StructureReport, structure_report
from tasks.report.structure_pdf import structure_pdf
from tests.tasks.report.samples import (
    GEOREFERENCES,
    RUN,
    ArrayPictures,
    bridge_deck,
    clean_deck,
    noise_pictures,
)

MARGIN_MM = 14.0
RENDER_DPI = 60


def report_of(
    result: StructureResult,
    *,
    run: RunIdentity = RUN,
    pictures: ArrayPictures | None = None,
    worst_count: int = 12,
    max_html_bytes: int = 5_000_000,
) -> StructureReport:
    return structure_report(
        result,
        run=run,
        georeferences=GEOREFERENCES,
        pictures=pictures,
        seam_proof="Seam proof: 0 of 1 000 000 pixels differ.",
        worst_count=worst_count,
        max_html_bytes=max_html_bytes,
    )


def reader_of(pdf: bytes) -> PdfReader:
    return PdfReader(BytesIO(pdf))


def texts_of(pdf: bytes) -> list[str]:
    """The text of each page, spaces of all kinds as one."""
    return [" ".join(page.extract_text().split()) for page in reader_of(pdf).pages]


def all_text(pdf: bytes) -> str:
    return " ".join(texts_of(pdf))


def squeezed(text: str) -> str:
    """`text` without any space, since a line's end may stand for one."""
    return re.sub(r"\s+", "", text)


@cache
def deck_report() -> StructureReport:
    return report_of(bridge_deck(), pictures=noise_pictures())


@cache
def deck_pdf() -> bytes:
    return structure_pdf(deck_report())


@cache
def clean_report() -> StructureReport:
    return report_of(clean_deck())


@cache
def described_pictures() -> tuple[str, ...]:
    """The alternative text of each figure of the deck's PDF, in the order of reading."""
    found = []

    def walk(node: object) -> None:
        node = node.get_object() if hasattr(node, "get_object") else node
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, dict):
            if "/Alt" in node:
                found.append(str(node["/Alt"]))
            walk(node.get("/K"))

    walk(reader_of(deck_pdf()).trailer["/Root"]["/StructTreeRoot"])
    return tuple(found)


def strip_is_white(pdf: bytes) -> list[bool]:
    """Of each page, whether nothing is drawn in its outermost margin."""
    found = []
    for page in pypdfium2.PdfDocument(pdf):
        pixels = page.render(scale=RENDER_DPI / 72).to_numpy()
        inner = int(MARGIN_MM / 25.4 * RENDER_DPI)
        drawn = pixels.min(axis=2) < 250
        drawn[inner // 2 : -inner // 2, inner:-inner] = False
        found.append(not bool(drawn.any()))
    return found

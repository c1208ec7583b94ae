"""The figures of the summary in the PDF: a long one takes two cells wherever it comes."""

from dataclasses import replace
from io import BytesIO

import pytest
from pypdf import PdfReader

from tasks.report.document import structure_report
from tasks.report.findings import Fact
from tasks.report.structure_pdf import structure_pdf
from tests.tasks.report.samples import GEOREFERENCES, RUN, clean_deck

LONG = "as long as a value that is told in a whole sentence of its own"


@pytest.mark.parametrize("at", range(5))
def test_a_long_figure_is_set_in_every_place_of_a_line(at: int) -> None:
    """Symptom to guard against: a run ends with E_PDF because the fourth fact of a line is a long one."""
    report = structure_report(
        clean_deck(),
        run=RUN,
        georeferences=GEOREFERENCES,
        pictures=None,
        seam_proof="",
        worst_count=1,
        max_html_bytes=5_000_000,
    )
    facts = tuple(Fact(f"label {n}", LONG if n == at else f"value {n}") for n in range(6))
    text = "".join(
        page.extract_text() for page in PdfReader(BytesIO(structure_pdf(replace(report, key_facts=facts)))).pages
    )
    assert "whole sentence" in text
    assert all(f"value {n}" in text for n in range(6) if n != at)

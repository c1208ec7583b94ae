"""The comparison as PDF, set by typst from the same record as the page."""

from typing import Final

from tasks.compare.page import ComparisonReport
from tasks.report.pdf_data import pdf_data_of
from tasks.report.structure_pdf import set_as_pdf

_TEMPLATES: Final = ("comparison.typ", "parts.typ")


def comparison_pdf(report: ComparisonReport) -> bytes:
    """The report as an A4 PDF (PDF/UA-1); the same record gives the same bytes. Raises RunFailed E_PDF."""
    data = pdf_data_of(report, header=report.title, footer=report.run.survey_id, captured_at=report.captured_at)
    return set_as_pdf(data, _TEMPLATES, subject=report.title)

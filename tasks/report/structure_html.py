"""The report of one structure as one self-contained HTML file: opens offline, prints on A4, holds no script."""

from dataclasses import fields

from tasks.report.document import StructureReport
from tasks.report.page import render


def structure_html(report: StructureReport) -> str:
    """The report as HTML text; pictures are inlined, no request leaves the page."""
    facts = {field.name: getattr(report, field.name) for field in fields(report)}
    return render("structure.html.j2", worst_ids=report.worst_numbers, **facts)

"""The report of one structure as one self-contained HTML file: opens offline, prints on A4, holds no script."""

from dataclasses import fields
from typing import Final

from tasks.report.document import StructureReport
from tasks.report.histograms import charts_of
from tasks.report.page import render

_MOST_HEADER_CHARS: Final = 70
_HEADER: Final = "font: 8.5pt system-ui, Arial, sans-serif; color: #4d5966"


def structure_html(report: StructureReport) -> str:
    """The report as HTML text; pictures are inlined, no request leaves the page."""
    facts = {field.name: getattr(report, field.name) for field in fields(report)}
    links = {row.number: f"row-{row.number}" for row in report.rows}
    links |= {figure.detail.row.number: figure.detail.row.anchor for figure in report.figures}
    return render(
        "structure.html.j2",
        more_styles=page_header_styles(report.title, f"run {report.run.run_key}"),
        worst_ids=report.worst_numbers,
        links=links,
        charts={histogram.key: charts_of(histogram) for histogram in report.histograms},
        **facts,
    )


def page_header_styles(left: str, right: str) -> str:
    """Style rules that print two texts above every page but the first."""
    return (
        f"@page {{ @top-left {{ content: {css_string(left)}; {_HEADER} }} "
        f"@top-right {{ content: {css_string(right)}; {_HEADER} }} }}\n"
        "@page :first { @top-left { content: none } @top-right { content: none } }\n"
    )


def css_string(text: str, *, most_chars: int = _MOST_HEADER_CHARS) -> str:
    """`text` as a string of a style sheet, cut at `most_chars`; every character that could end it is escaped.

    >>> css_string('Pier "2"')
    '"Pier \\\\22 2\\\\22 "'
    """
    shown = text if len(text) <= most_chars else text[: most_chars - 1] + "…"
    return '"' + "".join(c if c.isalnum() or c == " " else f"\\{ord(c):x} " for c in shown) + '"'

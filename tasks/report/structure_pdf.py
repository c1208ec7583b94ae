"""The report of one structure as PDF, set by typst from the same record as the HTML."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import typst

from segmentation.errors import RunFailed
from tasks.report.document import StructureReport
from tasks.report.pdf_data import PdfData, pdf_data
from tasks.storage_local import scratch_folder

_TEMPLATES: Final = ("structure.typ", "parts.typ", "charts.typ")
_STANDARD: Final = "ua-1"
_AGINGS: Final = 5
"""Empty documents set after each report. typst forgets what it has not used in its last ten documents, so that decoded
pictures of ten reports (60 MB each) would be held; this leaves those of two."""


def structure_pdf(report: StructureReport) -> bytes:
    """The report as an A4 PDF (PDF/UA-1: tagged, with alternative texts, headings as bookmarks).

    The same record gives the same bytes on every machine, unless a name holds characters that only the machine's own
    fonts have. May run in several threads at once. Raises RunFailed E_PDF where the report cannot be set, E_DISK_FULL.
    """
    return set_as_pdf(pdf_data(report), _TEMPLATES, subject=report.title)


def set_as_pdf(data: PdfData, templates: Sequence[str], *, subject: str) -> bytes:
    """What `templates` make of the data, the first of them being the document: see `structure_pdf`."""
    try:
        with scratch_folder("spanscan-pdf-") as folder:
            return _compile(data, templates, folder)
    except (typst.TypstError, OSError) as error:
        cause = getattr(error, "message", None) or str(error)
        raise RunFailed(
            "E_PDF",
            subject,
            f"the report must be set as PDF, but typst answers: {cause}",
            "leave `pdf` out of SPANSCAN_REPORT_FORMATS; report.html and report.json state the same",
        ) from error


def _compile(data: PdfData, templates: Sequence[str], folder: Path) -> bytes:
    for name, text in {**{name: _source(name) for name in templates}, **data.texts}.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, content in data.pictures.items():
        (folder / name).write_bytes(content)
    pdf = typst.compile(
        folder / templates[0],
        root=folder,
        font_paths=data.typeface.fonts,
        ignore_system_fonts=True,
        format="pdf",
        pdf_standards=_STANDARD,
    )
    for _ in range(_AGINGS):
        typst.compile(b"", ignore_system_fonts=True)
    return pdf


@cache
def _source(name: str) -> str:
    return files("tasks.report.templates").joinpath(name).read_text(encoding="utf-8")

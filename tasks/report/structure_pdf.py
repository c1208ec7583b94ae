"""The report of one structure as PDF, set by typst from the same record as the HTML."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import typst

from segmentation.errors import RunFailed
from tasks.report.document import StructureReport
from tasks.report.pdf_data import PdfData, pdf_data

_TEMPLATES: Final = ("structure.typ", "parts.typ", "charts.typ")
_STANDARD: Final = "ua-1"
_AGINGS: Final = 5
"""Empty documents set after each report. typst forgets what it has not used in its last ten documents, so that decoded
pictures of ten reports (60 MB each) would be held; this leaves those of two."""


def structure_pdf(report: StructureReport) -> bytes:
    """The report as an A4 PDF (PDF/UA-1: tagged, with alternative texts, headings as bookmarks).

    The same record gives the same bytes on every machine, unless a name holds characters that only the machine's own
    fonts have. May run in several threads at once. Raises RunFailed (E_PDF) where the report cannot be set.
    """
    try:
        with TemporaryDirectory(prefix="spanscan-pdf-") as folder:
            return _compile(pdf_data(report), Path(folder))
    except (typst.TypstError, OSError) as error:
        cause = getattr(error, "message", None) or str(error)
        raise RunFailed(
            "E_PDF",
            report.title,
            f"the report must be set as PDF, but typst answers: {cause}",
            "leave `pdf` out of SPANSCAN_REPORT_FORMATS; report.html and report.json state the same",
        ) from error


def _compile(data: PdfData, folder: Path) -> bytes:
    for name, text in {**_sources(), **data.texts}.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, content in data.pictures.items():
        (folder / name).write_bytes(content)
    pdf = typst.compile(
        folder / _TEMPLATES[0],
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
def _sources() -> Mapping[str, str]:
    templates = files("tasks.report.templates")
    return {name: templates.joinpath(name).read_text(encoding="utf-8") for name in _TEMPLATES}

"""A report as plain data for the typesetter: words, numbers and the names of picture files, never markup."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from functools import cache
from typing import Any, Final

from segmentation.classes import CLASS_NAMES
from segmentation.records import RunIdentity
from tasks.report.charts import BarChart, ProfileChart
from tasks.report.document import StructureReport
from tasks.report.histograms import Histogram, charts_of
from tasks.report.page import style_sheet
from tasks.report.pdf_fonts import Typeface, typeface_for
from tasks.report.pictures import CLASS_COLOURS, Picture
from tasks.report.wording import clean_text

_CHANCE: Final = "\u200b"
"""A line may end here; the template takes the character out of the text."""
_LONGEST_WHOLE: Final = 16
"""Characters of the longest word that fits into every column."""
_LONG_WORD: Final = re.compile("[^\\s\u00a0\u202f\u200b]{17,}")
_BEHIND_MARKS: Final = re.compile(r"(?<=[_/\\.,:;=&?@+|-])(?=[^\W_])")
_LATIN: Final = re.compile("[\u0021-\u052f\u1e00-\u206f]+")
_BREAKS_ITSELF: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7ff\U00020000-\U0003ffff]"
)
"""Thai and its neighbours, Chinese, Japanese, Korean: the typesetter knows where their lines may end."""
_VIRAMA: Final = 9
"""Combining class of the sign that joins a letter to the next one."""
_SEVERITY_RULE: Final = re.compile(r"^\.(sev-[a-z0-9]+) \{([^}]*)\}", re.MULTILINE)
_VARIABLE: Final = re.compile(r"--([a-z0-9-]+):\s*(#[0-9a-fA-F]{3,6})\b")
_POINT: Final = re.compile(r"(-?[0-9.]+) (-?[0-9.]+)")
_MOST_HEADER_CHARS: Final = 60
_UNSHOWN: Final = (
    "‹U+…›",
    "A character that no font of the machine that made this file can draw, by its Unicode number. report.html and "
    "report.json hold the character itself.",
)


@dataclass(frozen=True, slots=True)
class PdfData:
    """All that the typesetter reads beside its templates."""

    texts: Mapping[str, str]
    """JSON files by name."""
    pictures: Mapping[str, bytes]
    """JPEG files by name."""
    typeface: Typeface


def pdf_data(report: StructureReport) -> PdfData:
    """The report's fields as ``report.json`` and what the layout needs besides as ``setting.json``.

    Long words hold chances for a line's end, so that no table grows wider than its page. Raises TypeError for a field
    of a kind that has no plain form, ValueError for a figure that is not finite.
    """
    return pdf_data_of(report, header=report.title, footer=report.run.survey_id, captured_at=report.run.captured_at)


def pdf_data_of(report: Any, *, header: str, footer: str, captured_at: str | None) -> PdfData:
    """Any record of texts, figures and pictures as plain data: see `pdf_data`; with what its pages' edges say."""
    pictures: dict[str, bytes] = {}
    plain = _plain(report, pictures)
    typeface = typeface_for(_dumped(plain))
    setting = {
        "colours": palette(),
        "drawn": {CLASS_NAMES[of]: "#" + bytes(colour).hex() for of, colour in CLASS_COLOURS.items()},
        "families": typeface.families,
        "header": with_chances(clean_text(header, most_chars=_MOST_HEADER_CHARS)),
        "footer": with_chances(clean_text(footer, most_chars=_MOST_HEADER_CHARS)),
        "date": _date(captured_at),
        "unshown": _UNSHOWN if typeface.unshown else None,
    }
    texts = {"report.json": _dumped(plain), "setting.json": _dumped(setting)}
    return PdfData({name: typeface.shown(text) for name, text in texts.items()}, pictures, typeface)


@cache
def palette() -> dict[str, Any]:
    """The style sheet's colours: its variables by name, and fill, line and ink of each step of severity."""
    sheet = style_sheet()
    variables: dict[str, Any] = dict(_VARIABLE.findall(sheet))
    for name, rule in _SEVERITY_RULE.findall(sheet):
        for variable in re.findall(r"var\(--([a-z0-9-]+)\)", rule):
            rule = rule.replace(f"var(--{variable})", variables[variable])
        stated = dict(re.findall(r"(?:^|[\s;])(background|border-color|color):\s*(#[0-9a-fA-F]{3,6})", rule))
        fill = stated["background"]
        variables[name] = {"fill": fill, "line": stated.get("border-color", fill), "ink": stated["color"]}
    return variables


def with_chances(text: str) -> str:
    """`text` with chances for a line's end inside words longer than 16 characters: behind marks, else every fourth.

    >>> with_chances("deck_sample-bridge.tif, short").split("\\u200b")
    ['deck_', 'sample-', 'bridge.', 'tif, short']
    """
    return _LONG_WORD.sub(lambda word: _cut_word(word.group()), text)


def _cut_word(word: str) -> str:
    parts = _BEHIND_MARKS.sub(_CHANCE, word).split(_CHANCE)
    return _CHANCE.join(
        _cut(part) if len(part) > _LONGEST_WHOLE and not _BREAKS_ITSELF.search(part) else part for part in parts
    )


def _cut(part: str) -> str:
    """Other scripts than those like Latin join their letters: they are cut seldom, never before a sign on a letter."""
    step, cut, since = 4 if _LATIN.fullmatch(part) else 12, "", 0
    for char in part:
        joined = unicodedata.category(char).startswith("M") or unicodedata.combining(cut[-1:] or " ") == _VIRAMA
        if since >= step and not joined:
            cut, since = cut + _CHANCE, 0
        cut, since = cut + char, since + 1
    return cut


def _plain(value: Any, pictures: dict[str, bytes]) -> Any:
    if isinstance(value, str):
        return with_chances(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Picture):
        name = f"picture-{len(pictures) + 1}.jpg"
        pictures[name] = value.jpeg
        return {"file": name, "width_px": value.width_px, "height_px": value.height_px}
    if isinstance(value, ProfileChart):
        return _fields(value, pictures) | {"line": polylines(value.line), "band": polylines(value.band)}
    if isinstance(value, Histogram):
        return _fields(value, pictures) | {"charts": [_plain(chart, pictures) for chart in charts_of(value)]}
    if isinstance(value, BarChart):
        return _fields(value, pictures) | {"height": value.height}
    if isinstance(value, RunIdentity):
        return {name: clean_text(getattr(value, name)) for name in ("run_key", "survey_id", "spanscan_version")}
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value, pictures)
    if isinstance(value, tuple | list):
        return [_plain(item, pictures) for item in value]
    raise TypeError(f"a report's field must be text, a figure, a picture or records of them, got {type(value)}")


def _fields(record: Any, pictures: dict[str, bytes]) -> dict[str, Any]:
    return {field.name: _plain(getattr(record, field.name), pictures) for field in fields(record)}


def polylines(path: str) -> list[list[tuple[float, float]]]:
    """The points of each line of a chart's path data.

    >>> polylines("M1.0 2.0L3.5 4.0M5.0 6.0L7.0 8.0Z")
    [[(1.0, 2.0), (3.5, 4.0)], [(5.0, 6.0), (7.0, 8.0)]]
    """
    return [[(float(x), float(y)) for x, y in _POINT.findall(line)] for line in path.split("M") if line]


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _date(captured_at: str | None) -> tuple[int, int, int] | None:
    try:
        day = date.fromisoformat((captured_at or "")[:10])
    except ValueError:
        return None
    return day.year, day.month, day.day

"""The script and the style rules of the survey's overview, with the map library, as they are inlined into the page."""

import re
from functools import cache
from importlib.resources import files


@cache
def scripts() -> tuple[str, ...]:
    """The texts of the page's script elements, in their order: Leaflet with its licence, the map, the page."""
    licence = _asset("LICENSE").strip()
    leaflet = re.sub(r"\n//# sourceMappingURL=\S+\s*$", "\n", _asset("leaflet.js"))
    return f"/*\n{licence}\n*/\n{leaflet}", _template("index_map.js"), _template("index.js")


@cache
def styles() -> str:
    """Leaflet's style rules, without those that name a picture, and the page's own."""
    return re.sub(r"[^{}]*\{[^{}]*url\([^{}]*\}", "", _asset("leaflet.css")) + "\n" + _template("index.css")


def _asset(name: str) -> str:
    text = files("tasks.report").joinpath("assets", "leaflet", name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


def _template(name: str) -> str:
    return files("tasks.report.templates").joinpath(name).read_text(encoding="utf-8")

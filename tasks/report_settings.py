"""Which files a run publishes: the formats by name, and the settings that change what they hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

FORMATS: Final[dict[str, str]] = {
    "json": "report.json of each structure",
    "html": "report.html of each structure",
    "pdf": "report.pdf of each structure",
    "index": "index.html",
    "geojson": "defects.geojson",
    "csv": "defects.csv",
    "geoparquet": "defects.parquet",
    "geopackage": "defects.gpkg",
    "stac": "STAC item and collection",
    "pyramid": "overview levels within masks.zarr",
    "cog": "mask.tif",
}
"""What each name of a format stands for."""
ALWAYS: Final = "json"
"""Written whatever is asked for: what other programs, a later comparison among them, read."""
_NEEDS: Final = {"cog": "pyramid"}
"""Formats that are made of another: a GeoTIFF's overviews are the levels of the pyramid."""


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Settings that change what is published, and so are part of a run's name."""

    formats: tuple[str, ...]
    """Names of `FORMATS` in their order, `ALWAYS` among them; `ordered_formats` makes it so."""
    worst_count: int
    """Defects pictured in each report."""

    def wants(self, name: str) -> bool:
        """Whether a format is written; raises KeyError for one that does not exist."""
        if name not in FORMATS:
            raise KeyError(name)
        return name in self.formats

    def stated(self) -> dict[str, str | int]:
        """As reports and manifest state them, and as they enter the run key."""
        return {"report_formats": ", ".join(self.formats), "worst_count": self.worst_count}


def ordered_formats(names: Iterable[str]) -> tuple[str, ...]:
    """The formats, each once, in the order of `FORMATS`, with `ALWAYS` and with what they are made of.

    Raises ValueError for an unknown name.

    >>> ordered_formats(["cog", "html", "html"])
    ('json', 'html', 'pyramid', 'cog')
    """
    asked = {ALWAYS, *names}
    wanted = asked | {_NEEDS[name] for name in asked & _NEEDS.keys()}
    if unknown := sorted(wanted - FORMATS.keys()):
        raise ValueError(f"a format must be one of {', '.join(FORMATS)}; got {', '.join(map(repr, unknown))}")
    return tuple(name for name in FORMATS if name in wanted)

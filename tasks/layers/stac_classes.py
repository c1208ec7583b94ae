"""What every STAC document here says of classes and checksums, and the versions of the extensions it speaks."""

from typing import Any, Final

from segmentation.classes import CLASS_NAMES, NODATA, NOT_INSPECTED
from tasks.mask_cog import COLOURS

PROJECTION: Final = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER: Final = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
CLASSIFICATION: Final = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
FILE: Final = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
TABLE: Final = "https://stac-extensions.github.io/table/v1.2.0/schema.json"
PROCESSING: Final = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"
MLM: Final = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"

_SHA256_MULTIHASH: Final = "1220"
"""Code of SHA-256 and its length, 32 bytes, as multihash writes them before the digest."""
_MEANINGS: Final = ("inspected, neither crack nor rust", "part of a crack", "part of a rust patch")


def model_classes() -> list[dict[str, Any]]:
    """The classes of the model's output, in the order of its channels, for ``classification:classes``."""
    named = zip(CLASS_NAMES, _MEANINGS, strict=True)
    return [_class(value, name, meaning) for value, (name, meaning) in enumerate(named)]


def mask_classes() -> list[dict[str, Any]]:
    """The values of a mask's pixels, for ``classification:classes``; two of them are no finding."""
    return [
        *model_classes(),
        {**_class(NODATA, "nodata", "the raster holds no data there"), "nodata": True},
        {**_class(NOT_INSPECTED, "not_inspected", "nobody looked there"), "nodata": True},
    ]


def _class(value: int, name: str, meaning: str) -> dict[str, Any]:
    colour = "".join(f"{part:02X}" for part in COLOURS[value])
    return {"value": value, "name": name, "description": meaning, "color_hint": colour}


def multihash(sha256: str) -> str:
    """A SHA-256 in hex as ``file:checksum`` wants it."""
    return _SHA256_MULTIHASH + sha256

"""Validation of STAC documents without a network: pystac's own schemas of the core, and those kept beside this file."""

import json
from pathlib import Path
from typing import Any

import pystac
from pystac.validation.stac_validator import JsonSchemaSTACValidator

SCHEMAS = Path(__file__).parent / "schemas"
_PUBLISHED = "https://stac-extensions.github.io/{name}/v{version}/schema.json"


class NoNetwork(pystac.stac_io.DefaultStacIO):
    """Reads files; an address fails."""

    def read_text_from_href(self, href: str) -> str:
        assert "://" not in href, f"nothing must be fetched, got {href}"
        return super().read_text_from_href(href)


def validator() -> JsonSchemaSTACValidator:
    """A validator that knows every schema it needs."""
    made = JsonSchemaSTACValidator()
    for path in SCHEMAS.glob("*.json"):
        name, _, version = path.stem.rpartition("-")
        made.schema_cache[_PUBLISHED.format(name=name, version=version)] = json.loads(path.read_text())
    # MLM 1.4.0 refers to the classes of classification 1.1.0, which only differ in what they do not ask for.
    classes = json.loads((SCHEMAS / "classification-2.0.0.json").read_text())
    older = _PUBLISHED.format(name="classification", version="1.1.0")
    made.schema_cache[older] = {**classes, "$id": older}
    return made


def validate(path: Path) -> list[str]:
    """Validate the item or collection in a file; the addresses of the schemas that it was held against."""
    pystac.StacIO.set_default(NoNetwork)
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    kind = pystac.STACObjectType.ITEM if document["type"] == "Feature" else pystac.STACObjectType.COLLECTION
    return validator().validate(document, kind, document["stac_version"], document.get("stac_extensions", []))

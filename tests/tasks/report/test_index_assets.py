"""The map library: what was vendored is what it was, and what is inlined asks for nothing."""

import hashlib
import re
from importlib.resources import files

import pytest

from tasks.report.index_assets import scripts, styles

FOLDER = files("tasks.report").joinpath("assets", "leaflet")
VENDORED = dict(
    re.findall(r"^\| `([^`]+)` \| `[^`]+` \| `([0-9a-f]{64})` \|$", FOLDER.joinpath("VENDORED.md").read_text(), re.M)
)


def test_every_vendored_file_is_listed() -> None:
    names = {entry.name for entry in FOLDER.iterdir()} - {"VENDORED.md", ".gitattributes"}
    assert names == VENDORED.keys() == {"leaflet.js", "leaflet.css", "LICENSE"}


@pytest.mark.parametrize("name", sorted(VENDORED))
def test_a_vendored_file_has_the_checksum_that_is_stated(name: str) -> None:
    assert hashlib.sha256(FOLDER.joinpath(name).read_bytes()).hexdigest() == VENDORED[name]


def test_the_licence_of_the_library_stands_before_it() -> None:
    library = scripts()[0]
    assert library.index("BSD 2-Clause License") < library.index("Leaflet 1.9.4")
    assert "Redistribution and use in source and binary forms" in library


def test_what_is_inlined_asks_for_no_file() -> None:
    assert "url(" not in styles()
    assert "@import" not in styles()
    assert "sourceMappingURL" not in "".join(scripts())
    assert styles().count("{") == styles().count("}")
    assert ".leaflet-image-layer" in styles()


def test_the_pages_own_scripts_set_no_markup() -> None:
    for script in scripts()[1:]:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)

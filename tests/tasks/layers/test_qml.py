"""Styles: well-formed, with what QGIS 3.28 asks of them, in the reports' colours."""

import re
from importlib.resources import files
from xml.etree import ElementTree

import pytest

from tasks.layers.defect_table import DEFECT_COLUMNS
from tasks.layers.qml import STEPS, cracks_qml, rasters_qml, rust_qml, structures_qml
from tasks.layers.structure_table import RASTER_COLUMNS, STRUCTURE_COLUMNS
from tasks.report import severity

STYLES = {
    "cracks": (cracks_qml(), DEFECT_COLUMNS, "line"),
    "rust": (rust_qml(), DEFECT_COLUMNS, "fill"),
    "structures": (structures_qml(), STRUCTURE_COLUMNS, "fill"),
    "rasters": (rasters_qml(), RASTER_COLUMNS, "fill"),
}


def parsed(name: str) -> ElementTree.Element:
    return ElementTree.fromstring(STYLES[name][0])


@pytest.mark.parametrize("name", STYLES)
def test_every_category_has_its_symbol(name: str) -> None:
    renderer = parsed(name).find("renderer-v2")
    assert renderer is not None
    symbols = {symbol.attrib["name"] for symbol in renderer.findall("symbols/symbol")}
    wanted = {category.attrib["symbol"] for category in renderer.findall("categories/category")}
    assert symbols == (wanted or {"0"})
    assert renderer.attrib["type"] == ("categorizedSymbol" if wanted else "singleSymbol")


@pytest.mark.parametrize("name", STYLES)
def test_symbols_are_of_the_layer_s_kind_and_say_their_options(name: str) -> None:
    kind = STYLES[name][2]
    root = parsed(name)
    assert root.findtext("layerGeometryType") == {"line": "1", "fill": "2"}[kind]
    assert {symbol.attrib["type"] for symbol in root.iter("symbol")} == {kind}
    for layer in root.iter("layer"):
        options = {option.attrib["name"]: option.attrib["value"] for option in layer.findall("Option/Option")}
        colours = [value for key, value in options.items() if key.endswith("color")]
        assert colours
        assert all(re.fullmatch(r"(\d{1,3},){3}\d{1,3}", colour) for colour in colours)


@pytest.mark.parametrize("name", STYLES)
def test_styles_and_labels_name_columns_that_there_are(name: str) -> None:
    root, columns = parsed(name), {column.name for column in STYLES[name][1]}
    (label,) = (style.attrib["fieldName"] for style in root.iter("text-style"))
    assert set(re.findall(r'"(\w+)"', label)) <= columns
    assert root.attrib["labelsEnabled"] == "1"
    attribute = root.find("renderer-v2").attrib.get("attr")  # type: ignore[union-attr]
    assert attribute is None or attribute in columns


def test_label_of_a_crack_states_no_width_without_its_uncertainty() -> None:
    (label,) = (style.attrib["fieldName"] for style in parsed("cracks").iter("text-style"))
    assert label.index("width_max_mm") < label.index("±") < label.index("width_uncertainty_mm")


def test_worse_is_drawn_wider() -> None:
    widths = [step.width_mm for step in STEPS if step.rank > 0]
    assert widths == sorted(widths, reverse=True)


def test_scale_is_that_of_the_reports() -> None:
    ranks = {one.rank for one in (*severity._STATES.values(), severity.NOT_GRADED, severity.NOTHING_FOUND)}
    assert {step.rank for step in STEPS} == ranks | {severity.NOT_INSPECTED.rank}


def test_colours_are_those_of_the_reports() -> None:
    sheet = files("tasks.report.templates").joinpath("report.css").read_text(encoding="utf-8")
    for step in STEPS:
        if step.rank > 0:
            ink = "#{:02x}{:02x}{:02x}".format(*step.colour)
            assert re.search(rf"\.sev-{step.rank} {{[^}}]*{ink}", sheet), f"{ink} of rank {step.rank}"

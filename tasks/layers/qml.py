"""Styles in which QGIS shows the layers: one colour and one width per step of the reports' scale, with labels.

Style documents (QML) as QGIS 3.28 and later writes them. Colours are those of the reports' map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from xml.etree import ElementTree as Xml

_DOCTYPE: Final = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_QGIS_VERSION: Final = "3.28.0-Firenze"
_GEOMETRY_TYPES: Final = {"line": "1", "fill": "2"}
_LABEL_PLACEMENTS: Final = {"line": "2", "fill": "4"}
"""Along the line; horizontally inside the area."""

Rgb = tuple[int, int, int]
SymbolKind = Literal["line", "fill"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the scale as it is drawn."""

    rank: int
    """As in the column ``severity_rank``."""
    label: str
    """Its words in the legend."""
    colour: Rgb
    """Of lines and outlines."""
    fill: Rgb
    """Of areas."""
    width_mm: float
    """Of lines on the sheet."""


STEPS: Final = (
    Step(4, "severe (CS4, Ri 5)", (94, 11, 46), (138, 28, 75), 1.2),
    Step(3, "poor (CS3, high, Ri 4)", (184, 67, 10), (210, 96, 42), 1.0),
    Step(2, "fair (CS2, medium, Ri 2 and 3)", (176, 133, 0), (255, 223, 128), 0.8),
    Step(1, "good (CS1, low, Ri 0 and 1)", (91, 143, 176), (169, 209, 234), 0.6),
    Step(0, "nothing found", (123, 135, 148), (255, 255, 255), 0.4),
    Step(-1, "not graded", (123, 135, 148), (255, 255, 255), 0.5),
    Step(-2, "not inspected", (23, 32, 42), (107, 117, 128), 0.4),
)
"""The scale of `tasks.report.severity`, worst first."""

_UP_TO_TENTH: Final = "format_number(ceil({} * 10) / 10, 1)"
_CRACK_LABEL: Final = (
    "\"id\" || coalesce(' · ' || format_number(\"width_max_mm\", 1) || ' ± ' || "
    + _UP_TO_TENTH.format('"width_uncertainty_mm"')
    + " || ' mm', ' · < ' || "
    + _UP_TO_TENTH.format('"width_resolvable_mm"')
    + " || ' mm', '')"
)
"""A width never stands without its ±, nor below what the GSD carries."""


def cracks_qml() -> str:
    """Centre lines, wider and darker with severity, on a light casing that keeps them apart from any picture."""
    symbols = [
        [_line((255, 255, 255), step.width_mm + 0.6, alpha=200), _line(step.colour, step.width_mm)]
        for step in _of_defects()
    ]
    return _document("line", _of_defects(), symbols, label=_CRACK_LABEL, label_from_scale=250)


def rust_qml() -> str:
    """Outlines by severity, thinly filled so that the rust in the picture stays visible."""
    symbols = [[_area(step.fill, step.colour, alpha=70, width_mm=step.width_mm * 0.6)] for step in _of_defects()]
    return _document("fill", _of_defects(), symbols, label='"id"', label_from_scale=250)


def structures_qml() -> str:
    """Footprints by the worst state; dashed where nothing was inspected."""
    symbols = [
        [_area(step.fill, step.colour, alpha=90, width_mm=0.5, style="dash" if step.rank == -2 else "solid")]
        for step in STEPS
    ]
    return _document("fill", STEPS, symbols, label='"name"', label_from_scale=5000)


def rasters_qml() -> str:
    """Outlines of the rasters, not filled."""
    return _document(
        "fill",
        (),
        [[_area((255, 255, 255), (77, 89, 102), alpha=0, width_mm=0.3, style="dot")]],
        label='"name"',
        label_from_scale=5000,
    )


CHANGE_STEPS: Final = (
    Step(4, "grown", (94, 11, 46), (138, 28, 75), 1.2),
    Step(3, "new", (184, 67, 10), (210, 96, 42), 1.0),
    Step(2, "repaired", (46, 125, 80), (150, 205, 170), 0.8),
    Step(1, "not seen", (107, 117, 128), (200, 206, 212), 0.6),
    Step(0, "static", (91, 143, 176), (169, 209, 234), 0.6),
)
"""What became of a defect between two surveys, by the column ``change_rank``."""


def changes_qml(kind: SymbolKind) -> str:
    """Lines or outlines of defects by what became of them."""
    symbols = [
        [_line((255, 255, 255), step.width_mm + 0.6, alpha=200), _line(step.colour, step.width_mm)]
        if kind == "line"
        else [_area(step.fill, step.colour, alpha=70, width_mm=step.width_mm * 0.6)]
        for step in CHANGE_STEPS
    ]
    return _document(
        kind, CHANGE_STEPS, symbols, label='"id" || \' \' || "change"', label_from_scale=250, attribute="change_rank"
    )


def _of_defects() -> tuple[Step, ...]:
    """The steps that a single defect can have."""
    return tuple(step for step in STEPS if step.rank > 0 or step.rank == -1)


def _document(
    kind: SymbolKind,
    steps: Sequence[Step],
    symbols: Sequence[Sequence[Xml.Element]],
    *,
    label: str,
    label_from_scale: int,
    attribute: str = "severity_rank",
) -> str:
    root = Xml.Element(
        "qgis",
        {"version": _QGIS_VERSION, "styleCategories": "Symbology|Labeling", "labelsEnabled": "1"},
    )
    root.append(_renderer(kind, steps, symbols, attribute))
    root.append(_labelling(kind, label, label_from_scale))
    for name, text in (("blendMode", "0"), ("featureBlendMode", "0"), ("layerGeometryType", _GEOMETRY_TYPES[kind])):
        Xml.SubElement(root, name).text = text
    Xml.indent(root, " ")
    return _DOCTYPE + Xml.tostring(root, encoding="unicode") + "\n"


def _renderer(
    kind: SymbolKind, steps: Sequence[Step], symbols: Sequence[Sequence[Xml.Element]], attribute: str
) -> Xml.Element:
    """Categories by rank; one symbol for all where there are no steps."""
    common = {"symbollevels": "0", "enableorderby": "0", "forceraster": "0", "referencescale": "-1"}
    if not steps:
        renderer = Xml.Element("renderer-v2", {"type": "singleSymbol", **common})
    else:
        renderer = Xml.Element("renderer-v2", {"type": "categorizedSymbol", "attr": attribute, **common})
        categories = Xml.SubElement(renderer, "categories")
        for number, step in enumerate(steps):
            attributes = {"value": str(step.rank), "type": "integer", "label": step.label, "symbol": str(number)}
            Xml.SubElement(categories, "category", {**attributes, "render": "true"})
    held = Xml.SubElement(renderer, "symbols")
    for number, layers in enumerate(symbols):
        held.append(_symbol(kind, str(number), layers))
    Xml.SubElement(renderer, "rotation")
    Xml.SubElement(renderer, "sizescale")
    return renderer


def _symbol(kind: SymbolKind, name: str, layers: Sequence[Xml.Element]) -> Xml.Element:
    symbol = Xml.Element("symbol", {"type": kind, "name": name, "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"})
    symbol.extend(layers)
    return symbol


def _line(colour: Rgb, width_mm: float, *, alpha: int = 255) -> Xml.Element:
    return _symbol_layer(
        "SimpleLine",
        {
            "line_color": _rgba(colour, alpha),
            "line_width": f"{width_mm:g}",
            "line_width_unit": "MM",
            "line_style": "solid",
            "capstyle": "round",
            "joinstyle": "round",
        },
    )


def _area(fill: Rgb, outline: Rgb, *, alpha: int, width_mm: float, style: str = "solid") -> Xml.Element:
    return _symbol_layer(
        "SimpleFill",
        {
            "color": _rgba(fill, alpha),
            "style": "solid" if alpha else "no",
            "outline_color": _rgba(outline, 255),
            "outline_width": f"{width_mm:g}",
            "outline_width_unit": "MM",
            "outline_style": style,
            "joinstyle": "miter",
        },
    )


def _symbol_layer(name: str, options: Mapping[str, str]) -> Xml.Element:
    layer = Xml.Element("layer", {"class": name, "enabled": "1", "locked": "0", "pass": "0"})
    mapping = Xml.SubElement(layer, "Option", {"type": "Map"})
    for key, value in options.items():
        Xml.SubElement(mapping, "Option", {"type": "QString", "name": key, "value": value})
    return layer


def _labelling(kind: SymbolKind, expression: str, from_scale: int) -> Xml.Element:
    """Labels, shown once the map is larger than 1 : `from_scale`."""
    labelling = Xml.Element("labeling", {"type": "simple"})
    settings = Xml.SubElement(labelling, "settings", {"calloutType": "simple"})
    style = Xml.SubElement(
        settings,
        "text-style",
        {
            "fieldName": expression,
            "isExpression": "1",
            "fontSize": "8",
            "fontSizeUnit": "Point",
            "textColor": _rgba((23, 32, 42), 255),
            "textOpacity": "1",
        },
    )
    buffer = {
        "bufferDraw": "1",
        "bufferSize": "0.8",
        "bufferSizeUnits": "MM",
        "bufferColor": _rgba((255, 255, 255), 255),
    }
    Xml.SubElement(style, "text-buffer", {**buffer, "bufferOpacity": "0.85", "bufferJoinStyle": "128"})
    Xml.SubElement(
        settings, "placement", {"placement": _LABEL_PLACEMENTS[kind], "placementFlags": "10", "priority": "5"}
    )
    shown = {"scaleVisibility": "1", "scaleMin": "0", "scaleMax": str(from_scale)}
    Xml.SubElement(settings, "rendering", {**shown, "drawLabels": "1", "obstacle": "1", "mergeLines": "0"})
    return labelling


def _rgba(colour: Rgb, alpha: int) -> str:
    return ",".join(str(part) for part in (*colour, alpha))

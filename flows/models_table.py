"""`spanscan models` for a terminal: the models side by side, what a tile costs, or one card in full."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.models_text import FAMILY_CORE_PX

_PLAIN_WIDTH = 120
"""Columns where the output is no terminal."""
_HEADLINE_METRICS = 6


def show_models(records: Sequence[dict[str, Any]], family: Sequence[dict[str, Any]]) -> None:
    """Print the models, the tiles of each, and the family."""
    _print(_models(records), *(_tiles(r) for r in records), _family(family))


def show_card(record: dict[str, Any]) -> None:
    """Print one model: its figures, its tiles, its measured figures, data, limits and notes."""
    card = record["card"]
    table = Table(title=f"{card['name']}: the card", title_justify="left", show_header=False)
    for label, value in _card_rows(card):
        table.add_row(label, value)
    _print(_models([record]), _tiles(record), _metrics(card["metrics"]), table)


def _models(records: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Models", title_justify="left", show_header=False)
    table.add_row("", *[f"{r['card']['name']}\n{r['card']['sha256'][:12]}" for r in records])
    table.add_section()
    for label, values in _model_rows(records):
        table.add_row(label, *values)
    return table


def _model_rows(records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    cards, nets = [r["card"] for r in records], [r["geometry"] for r in records]
    yield "architecture", [f"{c['architecture']} ({_arguments(c['architecture_kwargs'])})" for c in cards]
    yield "classes", [", ".join(c["classes"]) for c in cards]
    yield "GSD", [f"{c['gsd_range_m'][0] * 1000:g}–{c['gsd_range_m'][1] * 1000:g} mm" for c in cards]
    yield "receptive field", [_field(r) for r in records]
    yield "halo, alignment", [f"{_px(n['halo_px'])}, {n['alignment_px']} px" for n in nets]
    yield "windows", [_windows(n) for n in nets]
    yield "tiles", [r["tiles"][0]["method"] for r in records]
    yield "parameters", [f"{n['parameters']:,}" for n in nets]
    yield "work", [f"{n['gflop_per_mpx']:g} GFLOP/Mpx" for n in nets]
    yield "licence of the weights", [c["licence"] for c in cards]
    yield "test figures", ["\n".join(map(_figure, c["metrics"][:_HEADLINE_METRICS])) + _more(c) for c in cards]


def _tiles(record: dict[str, Any]) -> Table:
    table = Table(title=f"{record['card']['name']}: what a tile costs", title_justify="left")
    for name in ("core", "window", "share of the work outside the core", "GFLOP per Mpx of core", "fp32", "bf16"):
        table.add_column(name, justify="right")
    for tile in record["tiles"]:
        table.add_row(
            f"{tile['core_px']} px",
            f"{tile['window_px']} px",
            f"{tile['halo_share']:.0%}",
            f"{tile['gflop_per_core_mpx']:g}",
            *(_megabytes(tile["activation_bytes"][name]) for name in ("fp32", "bf16")),
        )
    return table


def _family(records: Sequence[dict[str, Any]]) -> Table:
    title = f"U-Net family: receptive field against memory against resolution (tile core {FAMILY_CORE_PX} px)"
    table = Table(title=title, title_justify="left")
    for name in (
        "depth", "channels", "finest map", "receptive field", "halo",
        "share outside the core", "parameters", "GFLOP/Mpx", "bf16",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for record in records:
        net, tile, arguments = record["geometry"], record["tile"], record["arguments"]
        table.add_row(
            str(arguments["depth"]),
            str(arguments["base_channels"]),
            f"{arguments['fold_px']} px",
            _px(net["receptive_field_px"]),
            _px(net["halo_px"]),
            f"{tile['halo_share']:.0%}",
            f"{net['parameters']:,}",
            f"{net['gflop_per_mpx']:g}",
            _megabytes(tile["activation_bytes"]["bf16"]),
        )
    return table


def _metrics(metrics: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Measured", title_justify="left")
    for name in ("split", "metric", "value", "chance", "images", "note"):
        table.add_column(name, justify="right" if name in ("value", "chance", "images") else "left")
    for m in metrics:
        chance = "" if m["chance"] is None else f"{m['chance']:.3f}"
        table.add_row(m["split"], m["metric"], f"{m['value']:.3f}", chance, str(m["images"]), m["note"])
    return table


def _card_rows(card: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "sha256", card["sha256"]
    yield "mean, std (0–255)", f"{list(card['mean'])}, {list(card['std'])}"
    for data in card["training_data"]:
        yield "trained on", f"{data['name']} ({data['licence']}): {data['use']}\n{data['attribution']}"
    for limit in card["limits"]:
        yield "limit", limit
    for note in card["notes"]:
        yield "note", note


def _field(record: dict[str, Any]) -> str:
    side_px = record["geometry"]["receptive_field_px"]
    if side_px is None:
        return "the whole window"
    low_m, high_m = record["card"]["gsd_range_m"]
    return f"{side_px} px ({side_px * low_m:.2g} m at the finest GSD, {side_px * high_m:.2g} m at the coarsest)"


def _windows(net: dict[str, Any]) -> str:
    rest = f" plus {net['window_residue_px']}" if net["window_residue_px"] else ""
    lost = f", of which {net['margin_px']} px on each side give no answer" if net["margin_px"] else ""
    return f"multiples of {net['alignment_px']} px{rest}{lost}"


def _figure(metric: dict[str, Any]) -> str:
    chance = "" if metric["chance"] is None else f" (chance {metric['chance']:.3f})"
    return f"{metric['split']} {metric['metric']} {metric['value']:.3f}{chance}"


def _more(card: dict[str, Any]) -> str:
    left = len(card["metrics"]) - _HEADLINE_METRICS
    return f"\n… {left} more: spanscan models {card['name']}" if left > 0 else ""


def _arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in arguments.items())


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _px(value: int | None) -> str:
    return "none" if value is None else f"{value} px"


def _megabytes(count_bytes: int) -> str:
    return f"{count_bytes / 1e6:,.0f} MB"


def _print(*tables: Table) -> None:
    console = Console(markup=False)
    if not console.is_terminal:
        console = Console(markup=False, width=_PLAIN_WIDTH)
    for table in tables:
        console.print(table, highlight=False)

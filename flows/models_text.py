"""The shipped weights as a user chooses among them: cards, measured figures and geometry."""

from typing import Any

from segmentation.models.geometry import net_geometry
from segmentation.models.registry import available_models, load_model


def model_records() -> list[dict[str, Any]]:
    """Card and geometry of each shipped model."""
    records = []
    for name in available_models():
        loaded = load_model(name)
        net = net_geometry(loaded.module)
        records.append(
            {
                "card": loaded.card.as_dict(),
                "geometry": {
                    "alignment_px": net.alignment_px,
                    "receptive_field_radius_px": net.receptive_field_radius_px,
                    "halo_px": net.halo_px,
                    "parameters": net.parameters,
                    "gflop_per_mpx": round(2 * net.multiply_adds_per_px / 1e3, 1),
                },
            }
        )
    return records


def model_lines(records: list[dict[str, Any]]) -> list[str]:
    """The records in lines for a terminal."""
    lines: list[str] = []
    for record in records:
        card, net = record["card"], record["geometry"]
        low, high = card["gsd_range_m"]
        lines += [
            f"{card['name']}  ({card['architecture']}, {card['sha256'][:12]}, weights under {card['licence']})",
            f"  {net['parameters']:,} parameters, {net['gflop_per_mpx']:g} GFLOP/Mpx, receptive field radius "
            f"{net['receptive_field_radius_px']} px, halo {net['halo_px']} px",
            f"  GSD {low * 1000:g}–{high * 1000:g} mm",
        ]
        lines += [f"  {m['split']:<34} {m['metric']:<24} {m['value']:.3f}" + _chance(m) for m in card["metrics"]]
        lines += [f"  note: {note}" for note in card["notes"]]
    return lines


def _chance(metric: dict[str, Any]) -> str:
    return f"  (chance {metric['chance']:.3f})" if metric["chance"] is not None else ""

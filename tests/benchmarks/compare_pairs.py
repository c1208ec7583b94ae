"""Changes between painted surveys, by kind and seed: `python -m tests.benchmarks.compare_pairs [--seeds 10]`.

Pairs of `tests.benchmarks.compare_kinds` (44 defects: 10 new, 10 grown by 5 to 50 %, 15 static, 5 repaired, 4 whose
place was not covered the second time; misplaced by up to 30 px, 2° and 3 %, in other light and at another GSD) with the
masks of a perfect detector, through measuring, publishing and comparing. A row per kind: right of all by class; the
largest error of a growth over its stated ± and the share within it (95 % are promised); static ones called grown of all
static ones; the residual. A defect is right where all changes at its place say what became of it. Exit code 1 where a
class is under 90 %, more than 5 % of the growths lie beyond their ±, or more than 5 % of the static ones are said to
have grown.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

from tasks.cluster import dask_client
from tests.benchmarks.compare_kinds import KINDS, Kind, drawn_pair
from tests.tasks.compare.published_pairs import Verdict, compared, published_pair, verdicts

CLASSES = ("NEW", "GROWN", "STATIC", "REPAIRED", "NOT SEEN")
LEAST_RIGHT = 0.9
MOST_BEYOND = 0.05


@dataclass
class Tally:
    """What came of the pairs of one kind."""

    all_of: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    static_grown: int = 0
    ratios: list[float] = field(default_factory=list)
    residuals_px: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, found: list[Verdict]) -> None:
        self.all_of.update(one.truth for one in found)
        self.right.update(one.truth for one in found if one.said == {one.truth})
        self.static_grown += sum(one.truth == "STATIC" and "GROWN" in one.said for one in found)
        self.ratios += [abs(r) for one in found if (r := one.growth_over_uncertainty) is not None]

    @property
    def within(self) -> float:
        """Share of the growths that lie within their ±."""
        return sum(one <= 1 for one in self.ratios) / max(1, len(self.ratios))

    @property
    def meets_bars(self) -> bool:
        """Whether every bar is met."""
        classes = all(self.right[one] >= LEAST_RIGHT * self.all_of[one] for one in CLASSES)
        grown = self.static_grown <= MOST_BEYOND * self.all_of["STATIC"]
        return bool(self.ratios) and classes and grown and self.within >= 1 - MOST_BEYOND

    def row(self, name: str) -> str:
        classes = " ".join(f"{self.right[one]:4d}/{self.all_of[one]:<4d}" for one in CLASSES)
        worst, residual = max(self.ratios, default=float("nan")), max(self.residuals_px, default=float("nan"))
        return (
            f"{name:>12} {classes} {worst:6.2f} {100 * self.within:5.1f} {self.static_grown:4d}/"
            f"{self.all_of['STATIC']:<4d} {residual:5.2f} {len(self.refused):4d} {self.seconds:6.0f}"
            f"  {'' if self.meets_bars else 'SHORT'} {' '.join(sorted(set(self.refused)))}\n"
        )


def tallied(kind: Kind, seeds: range, client: Client, *, told: bool) -> Tally:
    """All pairs of a kind, measured and compared; with `told` each defect that is not right on a line."""
    tally = Tally()
    started = time.monotonic()
    for seed in seeds:
        pair = drawn_pair(kind, seed)
        with tempfile.TemporaryDirectory(prefix="compare-pairs-") as folder:
            runs = published_pair(Path(folder), pair, client)
            (one,) = compared(runs.older, runs.newer, Path(folder)).structures
        if one.not_compared is not None or one.registration is None:
            tally.refused.append("" if one.not_compared is None else one.not_compared.code)
            continue
        tally.residuals_px.append(one.registration.residual_px)
        found = verdicts(one, pair)
        tally.add(found)
        for defect, verdict in zip(pair.defects, found, strict=True):
            ratio = verdict.growth_over_uncertainty
            if told and (verdict.said != {verdict.truth} or (ratio is not None and abs(ratio) > 1)):
                sys.stdout.write(
                    f"    seed {seed}: {defect.pixel_class.name} {verdict.truth} said {sorted(verdict.said)}, true "
                    f"{defect.older_size:.4f} → {defect.newer_size:.4f}, width {defect.width_m * 1000:.1f} mm, error "
                    f"{'-' if ratio is None else f'{ratio:.2f} of its ±'}\n"
                )
    tally.seconds = time.monotonic() - started
    return tally


def main() -> int:
    """Print a row per kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=["slabs"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=300, help="the first seed")
    parser.add_argument("--tell", action="store_true", help="each defect that is not right, on a line")
    arguments = parser.parse_args()
    heads = " ".join(f"{one:>9}" for one in CLASSES)
    sys.stdout.write(f"{'kind':>12} {heads} {'worst':>6} {'% in':>5} {'grown':>9} {'px':>5} {'ref.':>4} {'s':>6}\n")
    met = True
    with dask_client(scheduler=None, workers=1) as client:
        for name in arguments.kinds:
            seeds = range(arguments.first, arguments.first + arguments.seeds)
            tally = tallied(KINDS[name], seeds, client, told=arguments.tell)
            sys.stdout.write(tally.row(name))
            sys.stdout.flush()
            met &= tally.meets_bars
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

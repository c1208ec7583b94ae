"""Accuracy of widths and lengths on cracks of another renderer: `python -m tests.benchmarks.crack_widths [--count N]`.

These cracks are drawn otherwise than those of `tests.benchmarks.cracks` (`tests.benchmarks.crack_scenes`); the
constants of the measurement were set with both in view, seeds 1 and 2 here, so only other seeds are untouched. Each
look is a raster whose cracks are measured with what they told together. Stated per true width: bias and mean absolute
error of the mean and of the largest width in pixels, the share that the ± of each covers, the mean ±, and bias and
worst of the length as shares; then cracks whose width varies.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from segmentation.measurement.appearance import CrackAppearance, pooled
from segmentation.measurement.cracks import appearance_of, measure_crack
from segmentation.records import CrackMeasure
from tests.benchmarks.crack_scenes import LOOKS, Look, Scene, even_scenes, varied_scenes
from tests.segmentation.measurement.rendering import SQUARE_MM
from tests.segmentation.measurement.test_cracks import largest

WIDTHS_PX = (1.0, 1.3, 1.6, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)


def measured(scene: Scene, appearance: CrackAppearance) -> CrackMeasure:
    return measure_crack(
        largest(scene.pixels),
        image=scene.image,
        probability=scene.probability,
        scale=SQUARE_MM,
        origin=(0, 0),
        min_width_px=2.0,
        appearance=appearance,
    ).measure


def row(name: str, scenes: Sequence[Scene], found: Sequence[CrackMeasure]) -> str:
    """One line of the table; a pixel of these scenes is a millimetre."""
    parts = []
    for true, told, plus in (
        (
            [one.mean_px for one in scenes],
            [m.mean_width_mm for m in found],
            [m.mean_width_uncertainty_mm or np.nan for m in found],
        ),
        (
            [one.width_px for one in scenes],
            [m.max_width_mm for m in found],
            [m.width_uncertainty_mm for m in found],
        ),
    ):
        error = np.array(told) - np.array(true)
        covered = np.mean(np.abs(error) <= np.array(plus))
        parts.append(f"{error.mean():+7.3f} {np.abs(error).mean():5.3f} {covered:5.2f} {np.mean(plus):5.2f}")
    length = np.array([m.length_m * 1e3 / one.length_px - 1 for m, one in zip(found, scenes, strict=True)])
    return f"{name:>6} | {parts[0]} | {parts[1]} | {length.mean():+6.3f} {np.abs(length).max():5.3f}\n"


def table(look: Look, *, count: int, seed: int) -> str:
    even = [scene for width in WIDTHS_PX for scene in even_scenes(look, width, count, seed)]
    varied = list(varied_scenes(look, max(3, 2 * count), seed))
    told = pooled(
        appearance_of(largest(one.pixels), image=one.image, probability=one.probability, scale=SQUARE_MM)
        for one in even
    )
    found = [measured(one, told) for one in even]
    lines = [
        f"\n{look.name}: PSF {look.psf_px} px, noise {look.noise}, darkness {look.darkness}, grain {look.texture}, "
        f"JPEG {look.jpeg_quality}, mask fat by {look.fat_px} px\n",
        " width |    mean bias   MAE  cov.     ± |  largest bias  MAE  cov.     ± | length   worst\n",
    ]
    for name, inside in [
        *((f"{width:.1f}", (width, width)) for width in WIDTHS_PX),
        ("< 2", (0.0, 1.99)),
        (">= 2", (2.0, 99.0)),
    ]:
        own = [k for k, one in enumerate(even) if inside[0] <= one.width_px <= inside[1]]
        lines.append(row(name, [even[k] for k in own], [found[k] for k in own]))
    lines.append(row("varied", varied, [measured(one, told) for one in varied]))
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=8, help="cracks of each width and look")
    parser.add_argument("--looks", type=int, default=len(LOOKS), help="how many of the looks")
    parser.add_argument("--seed", type=int, default=2, help="of the scenes")
    chosen = parser.parse_args()
    for look in LOOKS[: chosen.looks]:
        sys.stdout.write(table(look, count=chosen.count, seed=chosen.seed))
        sys.stdout.flush()


if __name__ == "__main__":
    main()

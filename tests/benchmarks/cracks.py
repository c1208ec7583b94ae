"""Accuracy and speed of crack measuring: `python -m tests.benchmarks.cracks [--looks N] [--seconds S]`.

Accuracy: cracks of known width, rendered straight at many angles, as an arc, a wave, a cross and a tee, through several
blurs and noises, each on a ground of its own and each look a raster whose cracks are measured with what they told
together; then cracks that swell to a known largest width, or bulge over some 25 px. Speed: masks
of 1 % damage (cracks of 2–8 px width and 60–700 px length), from the mask and the image to measured defects, per
CPU-second of one thread.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.measurement.appearance import CrackAppearance, pooled
from segmentation.measurement.components import Component, join_blocks, label_block
from segmentation.measurement.cracks import CrackResult, appearance_of, measure_crack
from segmentation.measurement.defects import cut_and_measure, look_at, measuring_window, telling_cracks
from segmentation.measurement.joining import joined_components
from segmentation.measurement.structures import StructureIndex
from segmentation.records import Structure
from segmentation.windows import Window
from tests.segmentation.measurement.rendering import SQUARE_MM, Rendered, centre_of, length_of, render, straight
from tests.segmentation.measurement.test_cracks import SHAPE, arc, cross, largest, tee, wave

WIDTHS_PX = (1.0, 1.3, 1.6, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
LOOKS = ((0.8, 4.0, 90.0), (0.6, 4.0, 90.0), (1.1, 4.0, 90.0), (0.8, 8.0, 60.0))
"""Blur (σ, px), noise and contrast (grey levels)."""
PER_WIDTH = 28
"""Cracks of each width, each on its own ground: the ground's mottling alone moves a width by 0.05 px."""
VARIED = 24
"""Cracks whose width varies."""
SIDE_PX = 4096
DAMAGE = 0.01


@dataclass(frozen=True)
class Case:
    width_px: float
    length_m: float
    rendered: Rendered
    pixels: np.ndarray


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def cases(blur_px: float, noise: float, contrast: float) -> list[Case]:
    found = []
    for number, width in enumerate(WIDTHS_PX):
        for k in range(PER_WIDTH):
            centre = centre_of_case(k)
            bent = (arc, wave, cross, tee)[k % 4]
            lines = [straight(centre, length_m=0.110, angle_deg=k * 23.7)] if k % 7 < 3 else bent(centre)
            seed = 1000 * number + k
            one = render(
                lines, width_m=width * 1e-3, shape=SHAPE, seed=seed, blur_px=blur_px, noise=noise, contrast=contrast
            )
            found.append(Case(width, sum(map(length_of, lines)), one, largest(one.pixels)))
    return found


def varied_cases(blur_px: float, noise: float, contrast: float) -> list[Case]:
    """Cracks that swell towards their middle, or bulge at one place; `width_px` is the largest mean over 7 px."""
    rng, found = np.random.default_rng(5), []
    for k in range(VARIED):
        line = straight(centre_of_case(k), length_m=0.110, angle_deg=k * 23.7)
        share = np.linspace(0, 1, 221)
        line = line[0] + share[:, None] * (line[-1] - line[0])
        least = rng.uniform(1.5, 4)
        swell = np.sin(np.pi * share) ** 2 if k % 2 else np.exp(-(((share - rng.uniform(0.3, 0.7)) * 11) ** 2) / 2)
        width_px = least + rng.uniform(0.5, 4) * swell
        one = render(
            [line],
            width_m=[width_px * 1e-3],
            shape=SHAPE,
            seed=90_000 + k,
            blur_px=blur_px,
            noise=noise,
            contrast=contrast,
        )
        over_7_px = np.convolve(width_px, np.ones(15) / 15, "valid")
        found.append(Case(float(over_7_px.max()), length_of(line), one, largest(one.pixels)))
    return found


def centre_of_case(k: int) -> tuple[float, float]:
    """Places that lie differently to the pixels."""
    east, north = centre_of(SQUARE_MM, SHAPE)
    return (east + 0.0002 + 0.00037 * (k % 5), north + 0.0003 + 0.00061 * (k % 3))


def measured(case: Case, appearance: CrackAppearance) -> CrackResult:
    return measure_crack(
        case.pixels,
        image=case.rendered.image,
        probability=case.rendered.probability,
        scale=SQUARE_MM,
        origin=(0, 0),
        min_width_px=2.0,
        appearance=appearance,
    )


def accuracy(blur_px: float, noise: float, contrast: float) -> None:
    every = cases(blur_px, noise, contrast)
    told = pooled(
        appearance_of(one.pixels, image=one.rendered.image, probability=one.rendered.probability, scale=SQUARE_MM)
        for one in every
    )
    say(f"\nblur {blur_px} px, noise {noise}, contrast {contrast}: told {told.blur_px} {told.darkness}")
    say("width |  mean bias   MAE covered |   max bias   MAE covered |    ± | length bias worst   (px; share)")
    for width in WIDTHS_PX:
        own = [one for one in every if one.width_px == width]
        found = [measured(one, told).measure for one in own]
        plus = np.array([m.width_uncertainty_mm for m in found])
        mean = np.array([m.mean_width_mm for m in found]) - width
        most = np.array([m.max_width_mm for m in found]) - width
        length = np.array([m.length_m / one.length_m - 1 for m, one in zip(found, own, strict=True)])
        say(
            f"{width:5.1f} | {mean.mean():+10.3f} {np.abs(mean).mean():5.3f} {np.mean(np.abs(mean) <= plus):7.2f} "
            f"| {most.mean():+10.3f} {np.abs(most).mean():5.3f} {np.mean(np.abs(most) <= plus):7.2f} "
            f"| {plus.mean():4.2f} | {length.mean():+11.3f} {np.abs(length).max():5.3f}"
        )
    own = varied_cases(blur_px, noise, contrast)
    found = [measured(one, told).measure for one in own]
    most = np.array([m.max_width_mm - one.width_px for m, one in zip(found, own, strict=True)])
    plus = np.array([m.width_uncertainty_mm for m in found])
    say(
        f" vary |                          | {most.mean():+10.3f} {np.abs(most).mean():5.3f} "
        f"{np.mean(np.abs(most) <= plus):7.2f} | {plus.mean():4.2f} |"
    )


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask uint8 and image uint8 ``(H, W, 3)`` of a raster with cracks on 1 % of its pixels."""
    rng = np.random.default_rng(seed)
    grey = rng.normal(150, 4, (SIDE_PX, SIDE_PX)).astype(np.float32)
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    while np.count_nonzero(mask) < DAMAGE * mask.size:
        width, length = rng.uniform(2, 8), rng.uniform(60, 700)
        at = rng.uniform(0, SIDE_PX, 2)
        steps = np.cumsum(rng.normal(0, 0.03, int(length))) + rng.uniform(0, 2 * np.pi)
        line = at + np.cumsum(np.stack([np.sin(steps), np.cos(steps)], axis=1), axis=0)
        low, high = np.floor(line.min(axis=0)).astype(int) - 12, np.ceil(line.max(axis=0)).astype(int) + 13
        if (low < 0).any() or (high > SIDE_PX).any():
            continue
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        distance = distance_to(line - low, (high[0] - low[0], high[1] - low[1]))
        grey[window] -= 90 / (1 + np.exp(np.minimum((distance - width / 2) * 2.5, 50.0)))
        mask[window][distance <= width / 2] = PixelClass.CRACK
    image = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return mask, image


def distance_to(line: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    near = np.ones((2 * shape[0], 2 * shape[1]), bool)
    at = np.clip(np.rint(2 * line).astype(int), 0, np.array(near.shape) - 1)
    near[at[:, 0], at[:, 1]] = False
    distance: np.ndarray = distance_transform_edt(near)[::2, ::2] / 2
    return distance


def speed(seconds: float) -> None:
    mask, image = scene(0)
    georeference = Georeference(SIDE_PX, SIDE_PX, (0.002, 0.0, 0.0, 0.0, -0.002, 0.0), None, 1.0)
    structure = Structure("all", "all", "all", "", "", None, raster_name="scene")
    index = StructureIndex((structure,), georeference, raster_name="scene")
    whole = Window(0, SIDE_PX, 0, SIDE_PX)
    chance = np.stack([(mask == c).astype(np.uint8) * 230 for c in (PixelClass.CRACK, PixelClass.RUST)])

    def pieces(component: Component) -> dict[str, object]:
        window = measuring_window(component, height=SIDE_PX, width=SIDE_PX)
        inner = window.slices()
        return {"mask": mask[inner], "probability": chance[:, *inner], "image": image[inner], "window": window}

    spent, looked, rounds = 0.0, 0.0, 0
    while spent < seconds or rounds < 2:
        begun = time.process_time()
        components = join_blocks([label_block(mask, window=whole)])
        labelled = time.process_time()
        found = telling_cracks(components)
        told = pooled(look_at(one, georeference=georeference, **pieces(one)) for one in found)  # type: ignore[arg-type]
        looking = time.process_time() - labelled
        parts = [
            cut_and_measure(
                component,
                index=index,
                owned=np.ones(measuring_window(component, height=SIDE_PX, width=SIDE_PX).shape, np.bool_),
                georeference=georeference,
                raster_name="scene",
                min_width_px=2.0,
                min_crack_length_px=24.0,
                min_rust_area_px=64,
                appearance=told,
                **pieces(component),  # type: ignore[arg-type]
            )
            for component in components
        ]
        joined_components(parts, georeference=georeference, gap_px=24.0, min_crack_length_px=24.0)
        if rounds:  # the first one fills tables
            spent += time.process_time() - begun
            looked += looking
        rounds += 1
    rate = (rounds - 1) * mask.size / 1e6 / spent
    damaged = 100 * np.count_nonzero(mask) / mask.size
    say(f"\n{len(components)} cracks on {damaged:.2f} % of {SIDE_PX}²: {rate:.1f} Mpx of mask per CPU-second,")
    say(f"of which the first look at {len(found)} cracks, however large the raster, takes {100 * looked / spent:.0f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--looks", type=int, default=len(LOOKS), help="how many blurs and noises; 0: speed alone")
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU-seconds of the speed part; 0: none")
    chosen = parser.parse_args()
    if chosen.seconds > 0:
        with threadpool_limits(limits=1, user_api="blas"):  # as in a run, where each block has a thread
            speed(chosen.seconds)
    for look in LOOKS[: chosen.looks]:
        accuracy(*look)


if __name__ == "__main__":
    main()

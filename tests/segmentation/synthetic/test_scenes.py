"""The demo's scenes: their truth is what is painted, and painting by strips is painting at once."""

import numpy as np
import pytest
from scipy import ndimage

from segmentation.classes import PixelClass
from segmentation.synthetic.cracks import CrackLook, paint_crack, random_crack
from segmentation.synthetic.demo import demo_scenes
from segmentation.synthetic.noise import fractal_field
from segmentation.synthetic.scenes import Canvas, Scene
from segmentation.synthetic.surfaces import concrete
from segmentation.windows import Window

SCALE = 0.25


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {scene.name: scene for scene in demo_scenes(5, scale=SCALE)}


def test_there_is_a_deck_and_a_truss_panel(scenes: dict[str, Scene]) -> None:
    assert [(s.name, s.material, s.truth.gsd_m) for s in scenes.values()] == [
        ("deck", "concrete", 0.0015),
        ("truss", "steel", 0.0012),
    ]


@pytest.mark.parametrize("name", ["deck", "truss"])
def test_rust_area_is_the_count_of_rust_pixels(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    counted = np.count_nonzero(scene.mask == PixelClass.RUST)
    assert counted > 300
    assert scene.truth.rust_area_m2 == pytest.approx(counted * scene.truth.gsd_m**2)


@pytest.mark.parametrize("name", ["deck", "truss"])
def test_each_crack_is_one_component_of_the_mask_with_its_area(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    crack = scene.mask == PixelClass.CRACK
    truth = scene.truth
    assert ndimage.label(crack, np.ones((3, 3)))[1] == len(truth.cracks) > 0
    painted_m2 = np.count_nonzero(crack) * truth.gsd_m**2
    assert painted_m2 == pytest.approx(sum(c.length_m * c.width_mm / 1e3 for c in truth.cracks), rel=0.05)


@pytest.mark.parametrize("name", ["deck", "truss"])
def test_stated_lengths_are_those_of_the_stated_paths(scenes: dict[str, Scene], name: str) -> None:
    truth = scenes[name].truth
    for crack in truth.cracks:
        paths = [np.array(path) for path in crack.paths]
        length_px = sum(float(np.hypot(*np.diff(path, axis=0).T).sum()) for path in paths)
        assert crack.length_m == pytest.approx(length_px * truth.gsd_m)
        assert crack.width_mm <= crack.max_width_mm
    assert truth.total_crack_length_m == pytest.approx(sum(crack.length_m for crack in truth.cracks))


def test_the_truss_has_no_data_and_no_damage_between_its_members(scenes: dict[str, Scene]) -> None:
    scene = scenes["truss"]
    assert 0.3 < scene.validity.mean() < 0.6
    assert not scene.mask[~scene.validity].any()
    assert not scene.image[~scene.validity].any()
    assert scene.truth.footprint.area == pytest.approx(np.count_nonzero(scene.validity), rel=0.005)
    rust_percent = 100 * scene.truth.rust_area_m2 / scene.truth.footprint_area_m2
    assert 1.0 < rust_percent < 4.5


def test_the_same_seed_gives_the_same_scene(scenes: dict[str, Scene]) -> None:
    again = next(iter(demo_scenes(5, scale=SCALE)))
    np.testing.assert_array_equal(again.image, scenes["deck"].image)
    np.testing.assert_array_equal(again.mask, scenes["deck"].mask)


@pytest.mark.parametrize("scale", [0.0, 0.09, 1.01])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be between"):
        next(iter(demo_scenes(1, scale=scale)))


def test_a_surface_has_no_seam_between_windows() -> None:
    surface = concrete(np.random.default_rng(3), (300, 200), scale=1.0, finish="cast")
    whole = surface.render(Window(0, 300, 0, 200))
    parts = np.vstack([surface.render(Window(0, 113, 0, 200)), surface.render(Window(113, 300, 0, 200))])
    np.testing.assert_allclose(parts, whole, atol=2e-3)


def test_a_field_has_about_zero_mean_and_unit_spread() -> None:
    rng = np.random.default_rng(8)
    field = fractal_field(rng, (600, 600), coarsest_px=24, finest_px=3, persistence=0.7).window(Window(0, 600, 0, 600))
    assert float(field.mean()) == pytest.approx(0.0, abs=0.15)
    assert float(field.std()) == pytest.approx(1.0, abs=0.2)


def test_a_crack_over_many_strips_looks_as_if_painted_at_once() -> None:
    crack = random_crack(
        np.random.default_rng(2), start=(40.0, 60.0), heading_rad=np.pi / 2, length_px=1100.0, width_px=4.0,
        variation=0.2, wander=0.02, jitter=0.2, branches=0, taper=False,
    )  # fmt: skip
    look = CrackLook(darkness=0.9, tint=(0.1, 0.1, 0.1), unevenness=0.6, soft_px=0.7, shoulder=0.0)
    canvas = Canvas((1200, 120), 0.001)
    canvas.image[:] = 200
    canvas.add_crack(crack, look, np.random.default_rng(9))

    at_once = np.full((1200, 120, 3), 200 / 255, np.float32)
    seed = int(np.random.default_rng(9).integers(2**32))
    paint_crack(at_once, canvas.window, crack, look, np.random.default_rng(seed))
    assert at_once[512].min() < 0.6
    np.testing.assert_allclose(canvas.image, at_once * 255, atol=1.0)

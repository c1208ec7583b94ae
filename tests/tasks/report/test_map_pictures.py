"""Overviews on the map: in the right place whatever the raster's transform, thin damage kept, within their size."""

import base64
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pyproj import CRS

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass
from segmentation.georeference import Georeference
from segmentation.windows import Window
from tasks.report.map_pictures import MapPicture, map_pictures
from tasks.report.map_plane import map_plane
from tasks.report.pictures import CLASS_COLOURS, Pixels

HEIGHT, WIDTH = 1300, 1700
SIDE_PX = 600
"""Of the overviews: three of the raster's pixels fall on one of theirs."""
GSD_M = 0.01
CRACK_ROW, RUST_BOX = 650, (200, 420, 300, 640)


@dataclass
class Stored:
    """A raster in memory, its mask pooled as the store pools it: the strongest class wins."""

    rgb: Pixels
    mask: Pixels

    def read_rgb(self, raster_name: str, window: Window, *, max_side_px: int) -> Pixels:
        image = Image.fromarray(self.rgb)
        share = min(1.0, max_side_px / max(self.rgb.shape))
        size = max(1, round(image.width * share)), max(1, round(image.height * share))
        return np.asarray(image.resize(size, Image.Resampling.BOX))

    def read_mask(self, raster_name: str, window: Window, *, max_side_px: int) -> Pixels:
        step = -(-max(self.mask.shape) // max_side_px)
        rows, cols = (-(-side // step) for side in self.mask.shape)
        padded = np.zeros((rows * step, cols * step), np.uint8)
        padded[: self.mask.shape[0], : self.mask.shape[1]] = np.where(self.mask == PixelClass.CRACK, 200, self.mask)
        padded = np.where(padded == NODATA, 1, padded)
        pooled = padded.reshape(rows, step, cols, step).max(axis=(1, 3))
        pooled[pooled == 200] = 77
        pooled[pooled == 1] = NODATA
        pooled[pooled == 77] = PixelClass.CRACK
        return pooled.astype(np.uint8)


def stored() -> Stored:
    rgb = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    rgb[900:1000, 1200:1500] = (220, 30, 30)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[CRACK_ROW : CRACK_ROW + 1, 300:1400] = PixelClass.CRACK
    mask[RUST_BOX[0] : RUST_BOX[1], RUST_BOX[2] : RUST_BOX[3]] = PixelClass.RUST
    mask[:, 1600:] = NODATA
    mask[1200:, :800] = NOT_INSPECTED
    return Stored(rgb, mask)


def placed(angle_deg: float, *, epsg: int = 32632) -> Georeference:
    cos, sin = GSD_M * np.cos(np.radians(angle_deg)), GSD_M * np.sin(np.radians(angle_deg))
    return Georeference(
        height=HEIGHT,
        width=WIDTH,
        transform=(float(cos), float(sin), 465_000.0, float(sin), float(-cos), 5_250_000.0),
        crs_wkt=CRS.from_epsg(epsg).to_wkt(),
    )


LOCAL = Georeference(
    height=HEIGHT, width=WIDTH, transform=(GSD_M, 0, 0, 0, GSD_M, 0), crs_wkt=None, metres_per_unit=1.0
)
CASES = {"north-up": placed(0.0), "turned a bit": placed(23.0), "upside down": placed(175.0), "local": LOCAL}


def pixels(uri: str) -> npt.NDArray[np.uint8]:
    assert uri.startswith("data:image/webp;base64,")
    return np.asarray(Image.open(BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGBA"))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.report.map_pictures._LARGEST_SIDE_PX", SIDE_PX)


@cache
def drawn(georeference: Georeference, *, max_bytes: int = 3_000_000) -> MapPicture:
    plane = map_plane([], {"a": georeference})
    assert plane is not None
    (picture,) = map_pictures(["a"], {"a": georeference}, plane, stored(), max_bytes=max_bytes)
    return picture


def raster_places(picture: MapPicture, georeference: Georeference, chosen: npt.NDArray[np.bool_]) -> np.ndarray:
    """(col, row) of the raster under the middles of the picture's pixels that are chosen."""
    plane = map_plane([], {"a": georeference})
    assert plane is not None
    rows, cols = np.nonzero(chosen)
    xs = picture.bounds[0] + (cols + 0.5) * picture.m_per_px
    ys = picture.bounds[3] - (rows + 0.5) * picture.m_per_px
    return plane.pixels_at("a", georeference, np.column_stack([xs, ys]))


def of_class(picture: MapPicture, pixel_class: PixelClass) -> npt.NDArray[np.bool_]:
    return np.asarray((pixels(picture.mask) == (*CLASS_COLOURS[pixel_class], 255)).all(axis=-1))


@pytest.mark.parametrize("georeference", CASES.values(), ids=CASES.keys())
def test_damage_lies_on_the_map_where_it_is(georeference: Georeference) -> None:
    picture = drawn(georeference)
    reach = 2.5 * picture.m_per_px / GSD_M
    crack = raster_places(picture, georeference, of_class(picture, PixelClass.CRACK))
    assert np.abs(crack[:, 1] - CRACK_ROW).max() <= reach
    assert crack[:, 0].min() == pytest.approx(300, abs=reach)
    assert crack[:, 0].max() == pytest.approx(1400, abs=reach)
    rust = raster_places(picture, georeference, of_class(picture, PixelClass.RUST))
    assert [*rust.min(axis=0), *rust.max(axis=0)] == pytest.approx([300, 200, 640, 420], abs=reach)


@pytest.mark.parametrize("georeference", CASES.values(), ids=CASES.keys())
def test_a_crack_of_one_pixel_stays_in_one_piece(georeference: Georeference) -> None:
    picture = drawn(georeference)
    crack = raster_places(picture, georeference, of_class(picture, PixelClass.CRACK))
    gaps = np.diff(np.sort(crack[:, 0]))
    assert gaps.max() <= 1.5 * picture.m_per_px / GSD_M


@pytest.mark.parametrize("georeference", CASES.values(), ids=CASES.keys())
def test_imagery_is_where_it_is_and_transparent_where_there_is_none(georeference: Georeference) -> None:
    picture = drawn(georeference)
    image = pixels(picture.imagery).astype(int)
    red = raster_places(picture, georeference, (image[..., 0] - image[..., 1] > 120) & (image[..., 3] > 0))
    assert [*red.min(axis=0), *red.max(axis=0)] == pytest.approx([1200, 900, 1500, 1000], abs=6)
    opaque = raster_places(picture, georeference, image[..., 3] == 255)
    reach = 2.5 * picture.m_per_px / GSD_M
    assert [*opaque.min(axis=0), *opaque.max(axis=0)] == pytest.approx([0, 0, 1600, HEIGHT], abs=reach)


def test_what_was_not_inspected_is_hatched_and_what_is_sound_is_clear() -> None:
    picture = drawn(placed(0.0))
    mask = pixels(picture.mask)
    places = raster_places(picture, placed(0.0), np.ones(mask.shape[:2], np.bool_)).reshape(*mask.shape[:2], 2)
    unseen = mask[(places[..., 1] > 1210) & (places[..., 1] < 1295) & (places[..., 0] < 790) & (places[..., 0] > 5)]
    assert (unseen[:, 3] > 0).all()
    assert {tuple(colour) for colour in unseen.tolist()} == {(23, 32, 42, 230), (255, 255, 255, 150)}
    sound = mask[(places[..., 1] > 800) & (places[..., 1] < 1190) & (places[..., 0] < 1590)]
    assert (sound[:, 3] == 0).all()


def test_pictures_of_noise_stay_within_their_bytes() -> None:
    rasters = {name: placed(11.0) for name in "abc"}
    plane = map_plane([], rasters)
    assert plane is not None
    noisy = stored()
    noisy.rgb[:] = np.random.default_rng(3).integers(0, 255, noisy.rgb.shape, dtype=np.uint8)
    made = map_pictures(list(rasters), rasters, plane, noisy, max_bytes=150_000)
    assert len(made) == 3
    assert sum(len(one.imagery) + len(one.mask) for one in made) <= 150_000


def test_bytes_that_hold_no_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="the overview of a must fit into 200 bytes"):
        drawn(placed(0.0), max_bytes=200)

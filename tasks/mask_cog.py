"""Cloud Optimized GeoTIFFs of the masks: class ids with colours and overviews, for whatever reads GDAL's formats.

Chunks of the mask store become tiles one by one; the overviews are the levels of its pyramid, pooled by the rule of
`segmentation.mask_pooling`: GDAL's own resampling would lose thin cracks.
"""

import hashlib
import logging
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import numpy as np
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from segmentation.classes import CLASS_NAMES, NODATA, NOT_INSPECTED, PixelClass
from segmentation.georeference import Georeference
from segmentation.mask_pooling import level_factors, level_shape
from segmentation.records import RasterInput
from tasks.cog_file import TILE_PX, Level, Template, read_template, write_cog
from tasks.crash_points import reached
from tasks.file_lock import file_lock
from tasks.mask_metadata import POOLED_BY, mask_attributes
from tasks.mask_pyramid import damaged_shard
from tasks.output_files import OutputFiles
from tasks.report.pictures import CLASS_COLOURS, Rgb
from tasks.run_place import RunPlace
from tasks.shard_file import CHUNK_PX, decode_chunk
from tasks.storage_local import telling_full_disk

log = logging.getLogger("spanscan.cog")

COG_TYPE: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
_WHITE: Final[Rgb] = (255, 255, 255)
_GREY: Final[Rgb] = (128, 128, 128)
COLOURS: Final[dict[int, Rgb]] = {
    PixelClass.BACKGROUND: _WHITE,
    PixelClass.CRACK: CLASS_COLOURS[PixelClass.CRACK],
    PixelClass.RUST: CLASS_COLOURS[PixelClass.RUST],
    NODATA: _WHITE,
    NOT_INSPECTED: _GREY,
}
"""Colours by mask value. White over a picture vanishes where the layer is multiplied with it; nodata is transparent."""
_KEPT_TILES: Final = 16


def cog_name(raster: RasterInput, rasters: Sequence[RasterInput]) -> str:
    """Key of a raster's COG in the run: ``mask.tif``, or ``mask.<slug>.tif`` where the survey has several rasters."""
    return "mask.tif" if len(rasters) == 1 else f"mask.{raster.slug}.tif"


def write_cogs(rasters: Sequence[RasterInput], place: RunPlace, files: OutputFiles) -> tuple[str, ...]:
    """Write the COG of each raster and, beside it, the names of its classes; the keys of the COGs.

    The pyramid must be complete. One tile and the compressed shards of one row are held at once. Raises RunFailed
    E_STORE where a shard is damaged.
    """
    keys = []
    for raster in rasters:
        key = cog_name(raster, rasters)
        name = hashlib.sha256(f"{place.run_uri}/{key}".encode()).hexdigest()[:16]
        path = place.staging_dir / f"cog-{name}.tif"
        # The name is the run's own, so that a run that was killed takes up and removes what it left.
        with file_lock(path.with_suffix(".lock")):
            try:
                _write(path, raster, place)
                reached("after_cog_staged")
                files.write_file(key, path, COG_TYPE)
            finally:
                path.unlink(missing_ok=True)
        files.write(f"{key}.aux.xml", class_names_xml(), "application/xml")
        log.info("%s: %s", raster.name, key)
        keys.append(key)
    return tuple(keys)


def _write(path: Path, raster: RasterInput, place: RunPlace) -> None:
    with telling_full_disk(path):
        write_cog(path, _template(raster.georeference), _levels(raster, place))


def class_names_xml() -> bytes:
    """The names of the mask values as GDAL keeps them, beside the file and not in it; QGIS shows them as the legend."""
    named = {**dict(enumerate(CLASS_NAMES)), NODATA: "nodata", NOT_INSPECTED: "not inspected"}
    root = ElementTree.Element("PAMDataset")
    names = ElementTree.SubElement(ElementTree.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for value in range(256):
        ElementTree.SubElement(names, "Category").text = named.get(value, "")
    return ElementTree.tostring(root)


def _template(georeference: Georeference) -> Template:
    """What GDAL writes for one tile of the raster's place, colours and words."""
    profile = {
        "driver": "COG",
        "width": TILE_PX,
        "height": TILE_PX,
        "count": 1,
        "dtype": "uint8",
        "nodata": NODATA,
        "transform": Affine(*georeference.transform),
        "compress": "DEFLATE",
        "predictor": "NO",
        "blocksize": TILE_PX,
        "overviews": "NONE",
        "bigtiff": "NO",
    }
    if georeference.crs_wkt is not None:
        profile["crs"] = CRS.from_wkt(georeference.crs_wkt)
    words = mask_attributes()
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(np.zeros((1, TILE_PX, TILE_PX), np.uint8))
            dataset.write_colormap(1, {int(value): (*colour, 255) for value, colour in COLOURS.items()})
            dataset.set_band_description(1, "damage class")
            dataset.update_tags(overviews=POOLED_BY)
            flags = " ".join(str(value) for value in words["flag_values"])
            dataset.update_tags(1, flag_values=flags, flag_meanings=words["flag_meanings"])
        return read_template(memory.read())


def _levels(raster: RasterInput, place: RunPlace) -> list[Level]:
    height, width = raster.georeference.height, raster.georeference.width
    factors = level_factors(height, width)
    if place.masks.levels(raster.slug) != factors:
        raise ValueError(f"the pyramid must be written before the COG, got none of {raster.name}")
    return [
        Level(*level_shape(height, width, factor), _Tiles(raster, place, factor=factor)) for factor in (1, *factors)
    ]


class _Tiles:
    """The compressed tiles of one level."""

    def __init__(self, raster: RasterInput, place: RunPlace, *, factor: int) -> None:
        self._raster, self._place, self._factor = raster, place, factor

    def __call__(self) -> Iterator[bytes]:
        """The tiles row by row from the left."""
        raster, masks = self._raster, self._place.masks
        rows, cols = level_shape(raster.georeference.height, raster.georeference.width, self._factor)
        tile_rows, tile_cols = -(-rows // TILE_PX), -(-cols // TILE_PX)
        across = masks.block_px(raster.slug) // CHUNK_PX
        stored = masks.stored_shards(raster.slug, factor=self._factor)
        for first in range(0, tile_rows, across):
            shards = {
                col: self._shard(first // across, col)
                for col in range(-(-tile_cols // across))
                if (first // across, col) in stored
            }
            for tile_row in range(first, min(first + across, tile_rows)):
                for tile_col in range(tile_cols):
                    chunks = shards.get(tile_col // across)
                    number = tile_row % across * across + tile_col % across
                    yield self._tile(None if chunks is None else chunks[number], tile_row // across, tile_col // across)

    def _shard(self, row: int, col: int) -> list[bytes | None]:
        try:
            return self._place.masks.read_shard(self._raster.slug, row, col, factor=self._factor)
        except ValueError as error:
            raise damaged_shard(self._raster.slug, row, col, self._place, error) from error

    def _tile(self, chunk: bytes | None, row: int, col: int) -> bytes:
        try:
            return _compressed(chunk)
        except ValueError as error:
            raise damaged_shard(self._raster.slug, row, col, self._place, error) from error


@lru_cache(maxsize=_KEPT_TILES)
def _compressed(chunk: bytes | None) -> bytes:
    """A chunk of the store as a tile; most are nothing but background or nodata and so the same."""
    pixels = np.full((CHUNK_PX, CHUNK_PX), NOT_INSPECTED, np.uint8) if chunk is None else decode_chunk(chunk)
    # Runs of one class are all that there is to find: as small as level 6, in half the time.
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return deflate.compress(pixels.tobytes()) + deflate.flush()

"""What an upload may ask of this machine before it is refused."""

from dataclasses import dataclass

_GDAL_CACHE_AND_TABLES_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class InputLimits:
    """Bounds of one survey; each is named in the rejection that it causes."""

    max_raster_px: int
    """Pixels of one raster."""
    max_block_bytes: int
    """Decoded bytes of one strip or tile of the file: what a reader must hold at once."""
    max_read_s: float
    """Longest that one step of reading a raster may take: its header, or some megabytes of its pixels."""
    max_ratio: float
    """Decoded bytes per byte of the file, for the strips and tiles that were written."""
    max_rasters: int
    """Rasters of one survey."""
    max_structures: int
    """Structures of one survey."""
    max_vertices: int
    """Vertices of all footprints together."""
    max_document_bytes: int
    """Size of structures.geojson and of survey.json."""

    @property
    def reader_bytes(self) -> int:
        """What the process that reads uploaded rasters may take beyond what it has when nothing is open.

        GDAL holds a strip or tile up to three times: as it is in the file, decoded, and by bands in its cache.
        """
        return 4 * self.max_block_bytes + _GDAL_CACHE_AND_TABLES_BYTES

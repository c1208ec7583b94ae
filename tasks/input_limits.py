"""What an upload may ask of this machine before it is refused."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputLimits:
    """Bounds of one survey; each is named in the rejection that it causes."""

    max_raster_px: int
    """Pixels of one raster."""
    max_block_bytes: int
    """Decoded bytes of one strip or tile of the file: what a reader must hold at once."""
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

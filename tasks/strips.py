"""Which blocks one worker takes in a row, so that what two of them read of the file is decoded once."""

from collections.abc import Sequence

from segmentation.inference.geometry import Block

BAND_ROWS = 2
"""Rows of blocks in a band. A higher band decodes less twice at its edges and must keep more in GDAL's cache."""
MOST_BLOCKS = 4
"""Two columns of a band: work is shared out evenly to the end, and few places of a file are read at once."""


def in_bands(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Blocks in the order in which they are read: bands of rows, each in columns that run down and up by turns.

    >>> from segmentation.inference.geometry import blocks
    >>> [(b.row, b.col) for b in in_bands(blocks(3, 2, block_px=1))]
    [(0, 0), (1, 0), (1, 1), (0, 1), (2, 0), (2, 1)]
    """

    def place(block: Block) -> tuple[int, int, int]:
        return block.row // BAND_ROWS, block.col, block.row if block.col % 2 == 0 else -block.row

    return tuple(sorted(blocks, key=place))


def strips(blocks: Sequence[Block], *, consumers: int) -> tuple[tuple[Block, ...], ...]:
    """Cut blocks that are in order into strips, one work item each: long ones first, short ones at the end.

    Strips shorten as less is left, so that no consumer waits long for the last one. They end in pairs where pairs
    share out evenly, since alone no block is read while another is inferred. Strips never cross a gap of finished
    blocks or the end of a band, since nothing is shared across it.
    """
    fewest = 1 if len(blocks) % (2 * consumers) else 2
    cut: list[list[Block]] = []
    length = 0
    for done, block in enumerate(blocks):
        if cut and len(cut[-1]) < length and _are_neighbours(cut[-1][-1], block):
            cut[-1].append(block)
        else:
            length = _length(len(blocks) - done, consumers=consumers, fewest=fewest)
            cut.append([block])
    return tuple(tuple(strip) for strip in cut)


def _length(left: int, *, consumers: int, fewest: int) -> int:
    """Blocks of the next strip: so many that each consumer still gets another one like it."""
    for length in (MOST_BLOCKS, 2):
        if left >= 2 * length * consumers:
            return length
    return fewest


def _are_neighbours(one: Block, other: Block) -> bool:
    return abs(one.row - other.row) + abs(one.col - other.col) == 1

"""Items of work that need no model, so that the workers of a test start soon."""

import os
import time
from pathlib import Path

from distributed import get_worker

from segmentation.errors import RunFailed


def doubled(item: int, factor: int) -> int:
    return item * factor


def failing_at_three(item: int, _shared: int) -> int:
    if item == 3:
        raise RunFailed("E_TEST", "item", "must not be 3, got 3", "take another")
    return item


def worker_that_worked(item: int, flag: Path) -> str:
    """Its worker's address; all but the first item wait for a file."""
    while item and not flag.exists():
        time.sleep(0.02)
    time.sleep(0.1)
    return str(get_worker().address)


def deadly_at(item: int, deadly: frozenset[int]) -> int:
    """The item, but some end the process that works on them as a crash in a decoder would."""
    time.sleep(0.02)
    if item in deadly:
        os._exit(11)
    return item


def deadly_among(items: tuple[int, ...], deadly: frozenset[int]) -> tuple[int, ...]:
    """The items, worked one after the other as the blocks of a strip are."""
    return tuple(deadly_at(item, deadly) for item in items)


def slow(item: int, seconds: float) -> int:
    time.sleep(seconds)
    return item

"""The directory reader never does more to a hostile file than to refuse it."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.tiff_header import HeaderError, TiffHeader
from tests.tasks.surveys import write_raster

VARIANTS = {
    "classic": {},
    "bigtiff": {"bigtiff": "YES"},
    "big-endian": {"endianness": "BIG", "tiled": False, "blockxsize": None, "blockysize": 7},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("headers")
    for name, options in VARIANTS.items():
        write_raster(folder / f"{name}.tif", **options)
    return folder


def read_all(path: Path) -> int:
    """Everything that the checks ask of a header; the number of directories, or -1 where it is refused."""
    with path.open("rb") as handle:
        try:
            header = TiffHeader(handle)
            for index in range(header.count):
                layout = header.layout(index)
                # The checks refuse such a raster before they look at its offsets.
                if layout.block_count < 10**6:
                    header.blocks(index)
        except HeaderError:
            return -1
        return header.count


@pytest.mark.parametrize("name", VARIANTS)
def test_a_good_header_is_read(folder: Path, name: str) -> None:
    assert read_all(folder / f"{name}.tif") == 1


@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12),
    keep=st.one_of(st.none(), st.integers(0, 500)),
)
def test_a_header_with_any_bytes_changed_is_read_or_refused_at_once(
    folder: Path, name: str, changes: list[tuple[int, int]], keep: int | None
) -> None:
    data = bytearray((folder / f"{name}.tif").read_bytes())
    for at, value in changes:
        data[at] = value
    (folder / "changed.tif").write_bytes(data[:keep])
    start_s = time.process_time()
    read_all(folder / "changed.tif")
    assert time.process_time() - start_s < 2, "no loop over what the header declares"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0"]).flatmap(
        lambda m: st.binary(max_size=300).map(lambda b: m + b)
    )
)
def test_any_bytes_after_the_magic_are_read_or_refused(folder: Path, data: bytes) -> None:
    (folder / "any.tif").write_bytes(data)
    assert read_all(folder / "any.tif") >= -1

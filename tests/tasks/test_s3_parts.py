"""The tag of an object in parts, computed as S3 does it and found without knowing the parts."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from tasks.s3_parts import PartsTag, part_sizes

MIB = 1 << 20


@given(st.binary(min_size=1, max_size=300), st.integers(1, 40), st.integers(1, 60))
def test_it_is_the_md5_of_the_parts_md5s_however_the_bytes_come(data: bytes, part_bytes: int, step: int) -> None:
    parts = [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)]
    whole = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    tag = PartsTag(part_bytes)
    for start in range(0, len(data), step):
        tag.update(data[start : start + step])
    assert tag.tag() == f"{whole}-{len(parts)}"


@given(st.integers(1, 10_000 * MIB), st.sampled_from([5, 8, 16, 64]))
def test_the_usual_sizes_are_among_those_that_are_tried(size_bytes: int, part_mib: int) -> None:
    count = -(-size_bytes // (part_mib * MIB))
    sizes = part_sizes(size_bytes, f"{'0' * 32}-{count}")
    assert part_mib * MIB in sizes or sizes == (size_bytes,)
    assert len(sizes) <= 4


def test_a_tag_of_another_kind_is_no_hint() -> None:
    assert part_sizes(100, "0" * 32) == ()
    assert part_sizes(100, "anything") == ()
    assert part_sizes(2, f"{'0' * 32}-7") == ()

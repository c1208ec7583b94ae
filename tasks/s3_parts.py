"""The entity tag of an object that was put in parts: the MD5 of its parts' MD5s, where the parts' size can be guessed.

It is all that many servers, and AWS for older uploads, keep of a large object.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

_TAG = re.compile(r"([0-9a-f]{32})-(\d+)")
_MIB = 1 << 20
_USUAL_MIB = (8, 16, 5, 64, 15, 10, 32, 100, 50, 20, 25, 128, 256, 512)
"""Sizes of parts that clients take by default or by advice; boto3 takes 8 MiB, the AWS console 16."""
_MOST_SIZES = 4
"""Each costs a pass of MD5 over the content."""


def part_sizes(size_bytes: int, etag: str) -> tuple[int, ...]:
    """Sizes in bytes that the parts of an object with this tag may have had, the usual ones first; all but the last
    part are equal.

    >>> part_sizes(20 << 20, "0123456789abcdef0123456789abcdef-3")
    (8388608, 7340032, 9437184)
    """
    found = _TAG.fullmatch(etag)
    count = int(found[2]) if found else 0
    if count < 1 or size_bytes < count:
        return ()
    if count == 1:
        return (size_bytes,)
    least, most = -(-size_bytes // count), (size_bytes - 1) // (count - 1)
    usual = [mib * _MIB for mib in _USUAL_MIB if least <= mib * _MIB <= most]
    whole_mib = range(-(-least // _MIB) * _MIB, most + 1, _MIB)
    return tuple(dict.fromkeys([*usual, *whole_mib[:_MOST_SIZES]]))[:_MOST_SIZES]


@dataclass(slots=True)
class PartsTag:
    """The tag of a stream cut into parts of one size."""

    part_bytes: int
    _done: "_Hash" = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    _part: "_Hash" = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    _left_bytes: int = 0
    _count: int = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            if self._left_bytes == 0:
                self._close_part()
                self._left_bytes = self.part_bytes
            piece = view[: self._left_bytes]
            self._part.update(piece)
            self._left_bytes -= len(piece)
            view = view[len(piece) :]
            self._count += self._left_bytes + len(piece) == self.part_bytes

    def tag(self) -> str:
        """The entity tag of all bytes so far."""
        whole = self._done.copy()
        whole.update(self._part.digest())
        return f"{whole.hexdigest()}-{self._count}"

    def _close_part(self) -> None:
        if self._count:
            self._done.update(self._part.digest())
            self._part = hashlib.md5(usedforsecurity=False)

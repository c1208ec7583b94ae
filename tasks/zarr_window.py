"""Reading a window of an array whose chunks carry checksums: again where a byte changed on the way, else a failure."""

from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from segmentation.errors import RunFailed

_TRIES = 3


def read_window(array: "zarr.Array[Any]", selection: tuple[slice, ...], *, uri: str) -> npt.NDArray[np.uint8]:
    """The selected part of a uint8 array, asked for up to three times while its chunks contradict their CRC-32C.

    Raises RunFailed E_STORE where they keep doing so: then they are damaged where they lie.
    """
    damage: ValueError | None = None
    for _ in range(_TRIES):
        try:
            return np.asarray(array[selection], dtype=np.uint8)
        except ValueError as error:
            if "checksum" not in str(error):
                raise
            damage = error
    remedy = "delete the folder `blocks` of this run and run again: the blocks are then worked anew"
    cause = f"the chunks must agree with their checksum, got {_TRIES} times: {damage}"
    raise RunFailed("E_STORE", uri, cause, remedy) from damage

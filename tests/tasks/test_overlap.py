"""Reading, inferring and writing at once: the outcome of doing one after the other, within bounds."""

import threading
import time

import pytest

from tasks.overlap import overlapped


@pytest.mark.parametrize(("readers", "writers"), [(1, 1), (3, 2), (2, 5)])
def test_the_outcome_is_that_of_one_after_the_other(readers: int, writers: int) -> None:
    done = overlapped(
        range(11),
        read=lambda item: item * 3,
        infer=lambda item, pixels: (item, pixels + 1),
        write=lambda item, result: (item, *result),
        readers=readers,
        writers=writers,
    )
    assert list(done) == [(i, i, 3 * i + 1) for i in range(11)]


def test_reading_stays_a_bounded_number_of_items_ahead() -> None:
    read, inferred = [0], [0]
    most = [0]

    def on_read(item: int) -> int:
        read[0] += 1
        most[0] = max(most[0], read[0] - inferred[0])
        return item

    def on_infer(item: int, pixels: int) -> int:
        time.sleep(0.002)
        inferred[0] += 1
        return pixels

    list(overlapped(range(30), read=on_read, infer=on_infer, write=lambda i, r: r, readers=3, writers=1))
    assert most[0] <= 3 + 1


def test_the_next_is_read_and_the_last_is_written_while_one_is_inferred() -> None:
    """Each stage waits for the others to be in the midst of another item: one after the other would never end."""
    together = threading.Barrier(3, timeout=20)

    def met(item: int, *_: object) -> int:
        together.wait()
        return item

    def infer(item: int, _pixels: int) -> int:
        return met(item) if 1 <= item <= 5 else item

    def read(item: int) -> int:
        return met(item) if 2 <= item <= 6 else item

    def write(item: int, _result: int) -> int:
        return met(item) if 0 <= item <= 4 else item

    assert list(overlapped(range(7), read=read, infer=infer, write=write, readers=1, writers=1)) == list(range(7))


@pytest.mark.parametrize("stage", ["read", "infer", "write"])
def test_a_failure_is_raised_and_what_is_being_written_is_finished(stage: str) -> None:
    written: list[int] = []

    def work(name: str, item: int) -> int:
        if name == stage and item == 5:
            raise ValueError(f"{name} of {item}")
        if name == "write":
            time.sleep(0.005)
            written.append(item)
        return item

    with pytest.raises(ValueError, match=f"{stage} of 5"):
        list(
            overlapped(
                range(100),
                read=lambda i: work("read", i),
                infer=lambda i, _: work("infer", i),
                write=lambda i, _: work("write", i),
                readers=2,
                writers=1,
            )
        )
    assert {0, 1, 2, 3, 4} - {4} <= set(written) <= set(range(9))

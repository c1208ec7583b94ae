"""Reading, inferring and writing at once, in one thread of each kind or more, with bounded queues between them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Input = TypeVar("Input")
Result = TypeVar("Result")
Done = TypeVar("Done")


def overlapped(
    items: Iterable[Item],
    *,
    read: Callable[[Item], Input],
    infer: Callable[[Item, Input], Result],
    write: Callable[[Item, Result], Done],
    readers: int,
    writers: int,
) -> Iterator[Done]:
    """``write(item, infer(item, read(item)))`` of each item, in their order, the three of different items at once.

    `infer` runs in the caller's thread: whoever iterates owns the model. At most `readers` inputs are read or wait
    to be inferred beside the one that is inferred, and at most `writers` results are being written; `infer` waits
    when they are. The first failure is raised here, and then nothing more is begun; what is being written is
    finished first.
    """
    source = iter(items)
    reading: deque[tuple[Item, Future[Input]]] = deque()
    writing: deque[Future[Done]] = deque()
    with (
        ThreadPoolExecutor(readers, thread_name_prefix="read") as read_pool,
        ThreadPoolExecutor(writers, thread_name_prefix="write") as write_pool,
    ):

        def read_ahead() -> None:
            while len(reading) < readers and (item := next(source, None)) is not None:
                reading.append((item, read_pool.submit(read, item)))

        try:
            read_ahead()
            while reading:
                item, future = reading.popleft()
                pixels = future.result()
                del future  # it holds the pixels, which must not outlive their inference
                read_ahead()
                result = infer(item, pixels)
                del pixels
                if len(writing) == writers:
                    yield writing.popleft().result()
                writing.append(write_pool.submit(write, item, result))
                del result
            while writing:
                yield writing.popleft().result()
        finally:
            for _, waiting in reading:
                waiting.cancel()

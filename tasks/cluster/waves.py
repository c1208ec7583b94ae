"""Run one function on many items on a cluster: outcomes in order, failures by their name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from distributed import Client, KilledWorker

from segmentation.errors import RunFailed
from tasks.cluster.flight import Flight

_MOST_NAMED: Final = 5
_MOST_CHARACTERS: Final = 160

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Shared = TypeVar("Shared")


def run_each(
    client: Client,
    work: Callable[[Item, Shared], Outcome],
    items: Sequence[Item],
    *,
    shared: Shared,
    on_done: Callable[[Outcome], None] | None = None,
    resources: Mapping[str, float] | None = None,
    named: Callable[[Item], str] = str,
    split: Callable[[Item], Sequence[Item]] | None = None,
) -> list[Outcome]:
    """Run ``work(item, shared)`` on each item on the cluster; outcomes in the order of the items.

    `shared` is sent to each worker once; `resources` are what each item asks of its worker. Only some items for each
    worker are in the scheduler's hands at once. The items of a worker that dies are run again elsewhere. The first
    failure cancels what has not begun and is raised here as it was raised there.

    An item with which several workers died is set aside, the others finish, and then it is run alone, in the parts
    that `split` makes of it: their outcomes stand in its place. Raises RunFailed E_BLOCK, with their names by `named`,
    for those that end a worker's process even then.
    """
    if not items:
        return []
    flight: Flight[Item, Outcome] = Flight(client, work, shared=shared, resources=resources or {})
    outcomes: dict[int, list[Outcome]] = {}

    def told(position: int, outcome: Outcome) -> None:
        outcomes.setdefault(position, []).append(outcome)
        if on_done is not None:
            on_done(outcome)

    suspects: list[tuple[int, KilledWorker]] = []
    try:
        for position, outcome in flight.carry(items):
            if isinstance(outcome, KilledWorker):
                suspects.append((position, outcome))
            else:
                told(position, outcome)
        alone = [(i, part, killed) for i, killed in sorted(suspects) for part in (split or _whole)(items[i])]
        _run_alone(flight, alone, named=named, told=told)
    except BaseException:
        flight.cancel()
        raise
    return [outcome for i in range(len(items)) for outcome in outcomes[i]]


def _run_alone(
    flight: Flight[Item, Outcome],
    suspects: Sequence[tuple[int, Item, KilledWorker]],
    *,
    named: Callable[[Item], str],
    told: Callable[[int, Outcome], None],
) -> None:
    """Run suspects one by one, since what dies with a worker is also what only waited there; a lone one is guilty."""
    guilty = [(part, killed) for _, part, killed in suspects] if len(suspects) == 1 else []
    for n, (position, part, killed) in enumerate(suspects if len(suspects) > 1 else ()):
        try:
            ((_, outcome),) = flight.carry([part])
        except RunFailed as failure:
            if failure.code != "E_NO_WORKERS":
                raise
            guilty += [(left, killed) for _, left, killed in suspects[n:]]
            raise _blocked(guilty, named=named, known=False) from failure
        if isinstance(outcome, KilledWorker):
            guilty.append((part, outcome))
        else:
            told(position, outcome)
    if guilty:
        raise _blocked(guilty, named=named, known=True)


def _blocked(guilty: Sequence[tuple[Item, KilledWorker]], *, named: Callable[[Item], str], known: bool) -> RunFailed:
    names = [named(part)[:_MOST_CHARACTERS] for part, _ in guilty]
    if len(names) > _MOST_NAMED:
        names = [*names[:_MOST_NAMED], f"and {len(names) - _MOST_NAMED} more"]
    _, last = guilty[-1]
    deaths = f"the processes of {last.allowed_failures + 1} workers ended, the last that of {last.last_worker.address}"
    if not known:
        deaths += ", and no worker is left to find out with which of these"
    return RunFailed(
        "E_BLOCK",
        "; ".join(names),
        f"an item must leave its worker alive, got: {deaths}; all others are done",
        "look into that worker's log, give workers more memory or take a smaller SPANSCAN_BLOCK_PX, and run it again",
    )


def _whole(item: Any) -> Sequence[Any]:
    return (item,)

"""A publisher in a process of its own: it moves a pointer again and again, together with others at the same time.

``python -m tests.storage.publisher URI ENDPOINT NAME``: at each line of stdin it swaps the pointer from the tag that
the line names (``-``: none) to content of its own, and answers with ``swapped`` or ``lost``, and the tag it was told.
"""

import sys

from tasks.storage import open_storage


def main(uri: str, endpoint_url: str, name: str) -> None:
    """Serve rounds until stdin closes."""
    storage = open_storage(uri, endpoint_url=endpoint_url or None, region=None)
    for number, line in enumerate(sys.stdin):
        tag = line.strip()
        outcome = storage.swap("latest.json", f"{name} {number}".encode(), expected=None if tag == "-" else tag)
        sys.stdout.write(f"{'swapped' if outcome.swapped else 'lost'} {outcome.etag}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4])

"""Somebody who reads what is published of a survey, over and over, while runs are killed beside him."""

import hashlib
import json
import threading
from typing import Any, Final

from tasks.publish import MANIFEST, POINTER
from tasks.storage import Storage

_PAUSE_S: Final = 0.03


def published_now(results: Storage, survey: str) -> str | None:
    """The run that is published, looked at as a reader would: every file that its manifest lists is there and whole."""
    if not results.exists(f"{survey}/{POINTER}"):
        return None
    pointer = json.loads(results.read(f"{survey}/{POINTER}"))
    run = results.child(f"{survey}/{pointer['run']}")
    manifest = json.loads(run.read(MANIFEST))
    assert manifest["run_key"] == pointer["run_key"]
    for key, sha256 in manifest["outputs_sha256"].items():
        assert hashlib.sha256(run.read(key)).hexdigest() == sha256, f"{key} must be what the manifest says"
    if results.exists("collection.json"):
        links = [link["href"] for link in json.loads(results.read("collection.json"))["links"]]
        assert all(results.exists(href.removeprefix("./")) for href in links), links
    return str(pointer["run_key"])


class Reader:
    """Looks again and again until the end of a `with`; what was wrong is raised there."""

    def __init__(self, results: Storage, survey: str) -> None:
        self._results, self._survey = results, survey
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._wrong: BaseException | None = None
        self.looks = 0
        self.seen: list[str | None] = []
        """Published runs in the order in which they were seen, each once in a row."""

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *ended_by: Any) -> None:
        self._over.set()
        self._thread.join()
        if self._wrong is not None:
            raise AssertionError("a reader must see a whole result") from self._wrong

    def _look(self) -> None:
        try:
            while True:
                found = published_now(self._results, self._survey)
                self.looks += 1
                if not self.seen or self.seen[-1] != found:
                    self.seen.append(found)
                if self._over.wait(_PAUSE_S):
                    return
        except BaseException as error:
            self._wrong = error

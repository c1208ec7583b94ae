"""`spanscan review`: the page served on this machine, the report issued anew, the decisions as training masks."""

import logging
import socket
import ssl
import webbrowser
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn

from flows.progress import shown_progress
from flows.settings import Settings
from segmentation.errors import UsageError
from segmentation.records import Defect
from tasks.review.decisions import DecisionLog
from tasks.review.export_masks import Exported, export_masks
from tasks.review.issue import Revision, issue_revision, run_place_of
from tasks.review.kept_results import read_kept_results
from tasks.review.page.app import review_app
from tasks.review.page.guard import Access, is_loopback, new_token
from tasks.review.place import ReviewPlace, find_run
from tasks.review.session import ReviewSession

log = logging.getLogger("spanscan.review")

_IN_THE_CLEAR: Final = (
    "the page is served on %s WITHOUT encryption: whoever can listen on the network reads the token, the pictures and "
    "the decisions, and can decide in your name; give --certificate and --key, or leave out --host and reach the page "
    "through an SSH tunnel"
)


@dataclass(frozen=True, slots=True)
class Served:
    """A page that is ready to be served."""

    address: str
    """Where a browser opens it, with the token where one is needed."""
    run: Callable[[], None]
    """Serves it until it is interrupted."""


def place_of_run(run: str, chosen: Settings) -> ReviewPlace:
    """The run at an address; raises InputRejected E_NO_RUN."""
    return find_run(run, endpoint_url=chosen.s3_endpoint_url, region=chosen.s3_region)


def review_page(run: str, chosen: Settings, *, reviewer: str | None) -> Served:
    """The page of a run on `review_host` and `review_port`, encrypted where a certificate is given.

    Raises InputRejected where there is no run that can be reviewed, UsageError E_PORT where the port is not free and
    E_SETTING for a certificate that cannot be used.
    """
    tls = _tls(chosen)
    session = ReviewSession(place_of_run(run, chosen), staging_dir=chosen.home / "staging", workers=chosen.workers)
    host = chosen.review_host
    bound = _bound(host, chosen.review_port)
    port = int(bound.getsockname()[1])
    token = None if is_loopback(host) else new_token()
    app = review_app(session, Access(host, port, token, is_encrypted=bool(tls)), reviewer=reviewer)
    shown = {"0.0.0.0": socket.gethostbyname(socket.gethostname()), "::": "::1"}.get(host, host)
    scheme = "https" if tls else "http"
    address = f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}/" + (f"?token={token}" if token else "")
    if token is not None and not tls:
        log.warning(_IN_THE_CLEAR, host)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off", **tls)
    return Served(address, lambda: uvicorn.Server(config).run(sockets=[bound]))


def open_in_browser(address: str) -> None:
    """Ask the user's browser for the page; nothing happens where there is none."""
    if not webbrowser.open(address):
        log.warning("no browser could be opened; open the address yourself")


def issue_review(run: str, chosen: Settings) -> Revision:
    """The report of a run issued anew with the decisions made so far; raises SpanscanError."""
    place = place_of_run(run, chosen)
    kept = read_kept_results(place.run)
    with shown_progress("report", unit="structures") as on_structure:
        return issue_revision(
            place,
            kept,
            _decisions(place, [defect for one in kept.structures for defect in one.defects]),
            staging_dir=chosen.home / "staging",
            workers=chosen.workers,
            on_structure=on_structure,
        )


def export_review(run: str, chosen: Settings, *, out: Path) -> Exported:
    """The decisions on a run as pictures and masks for `spanscan train`; raises SpanscanError."""
    place = place_of_run(run, chosen)
    kept = read_kept_results(place.run)
    defects = [defect for one in kept.structures for defect in one.defects]
    decisions = _decisions(place, defects)
    decisions.refresh()
    return export_masks(
        out,
        rasters=kept.of.rasters,
        place=run_place_of(place, chosen.home / "staging"),
        defects=defects,
        latest=decisions.latest(),
    )


def _decisions(place: ReviewPlace, defects: Iterable[Defect]) -> DecisionLog:
    classes = {defect.id: defect.pixel_class for defect in defects}
    return DecisionLog(place.review, run_key=place.run_key, classes=classes)


def _tls(chosen: Settings) -> dict[str, Any]:
    """What the server needs of the certificate, which is tried before anything is bound; empty where there is none."""
    certificate, key = chosen.review_certificate, chosen.review_key
    if certificate is None and key is None:
        return {}
    if certificate is None or key is None:
        cause = f"a certificate and its key must be given together, got the {'key' if key else 'certificate'} alone"
        raise UsageError("E_SETTING", "review", cause, "give --certificate and --key, both as PEM files")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        cause = f"the certificate and its key must be PEM files that belong together, got: {error}"
        raise UsageError(
            "E_SETTING", str(certificate), cause, "check both files; the key must have no passphrase"
        ) from error
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        cause = f"the page must be able to listen on {host} port {port}, got: {error.strerror or error}"
        raise UsageError("E_PORT", f"{host}:{port}", cause, "name another with --port, or 0 for any") from error
    return bound

"""A proxy before a real S3 server that does to chosen requests what networks do."""

import http.client
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Fault = str
"""``pass``, ``lose-answer`` (done, but not told), ``cut-body``, ``flip-byte``, or a status such as ``503``."""


class FaultyS3:
    """The proxy's address and what it will do next."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.requests: list[str] = []
        """Methods of the requests seen so far."""
        self._faults: dict[str, deque[Fault]] = {}
        self._lock = threading.Lock()

    def plan(self, method: str, *faults: Fault) -> None:
        """Apply `faults` to the next requests of a method, one each."""
        with self._lock:
            self._faults.setdefault(method, deque()).extend(faults)

    def next_fault(self, method: str) -> Fault:
        """The fault for a request that has just come in."""
        with self._lock:
            self.requests.append(method)
            queue = self._faults.get(method)
            return queue.popleft() if queue else "pass"


@contextmanager
def faulty_s3(upstream_url: str) -> Iterator[FaultyS3]:
    """A proxy on loopback before the server at `upstream_url`."""
    handler = type("Handler", (_Handler,), {"upstream": urlsplit(upstream_url).netloc})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    proxy = FaultyS3(f"http://127.0.0.1:{server.server_port}")
    handler.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str
    proxy: FaultyS3

    def _serve(self) -> None:
        fault = self.proxy.next_fault(self.command)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault.isdigit():
            self._answer(int(fault), [("Content-Length", "0")], b"")
            return
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        upstream = connection.getresponse()
        data = upstream.read()
        connection.close()
        if fault == "lose-answer":
            self.close_connection = True
            return
        if fault == "flip-byte" and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        kept = [(n, v) for n, v in upstream.getheaders() if n.lower() not in ("connection", "transfer-encoding")]
        self._answer(upstream.status, kept, data[: len(data) // 2] if fault == "cut-body" else data)
        self.close_connection = fault == "cut-body"

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET: Callable[..., None] = _serve
    do_HEAD: Callable[..., None] = _serve
    do_PUT: Callable[..., None] = _serve
    do_POST: Callable[..., None] = _serve
    do_DELETE: Callable[..., None] = _serve

    def log_message(self, *args: object) -> None:
        pass

"""A proxy before a real S3 server that does to chosen requests what networks, servers and administrators do."""

import http.client
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Fault = str
"""``pass``; ``lose-answer`` (done, but not told); of the body ``cut-body``, ``stall`` or ``reset`` in its middle, or
``flip-byte``; ``meddle`` (cut in its middle, and then `FaultyS3.meddle` is called); a status such as ``503``; or a code
of S3 such as ``ExpiredToken``, told in a body as S3 does."""

_STATUS_OF_CODE: Mapping[str, int] = {
    "AccessDenied": 403,
    "ExpiredToken": 400,
    "InternalError": 500,
    "RequestTimeTooSkewed": 403,
    "SlowDown": 503,
    "TooManyRequests": 429,
}
_LONGEST_STALL_S = 120


class FaultyS3:
    """The proxy's address and what it will do next."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.requests: list[str] = []
        """Methods of the requests seen so far."""
        self.lines: list[str] = []
        """Method and decoded path of each, as ``GET /bucket/key``."""
        self.access_keys: set[str] = set()
        """With which requests were signed."""
        self.meddle: Callable[[], object] = lambda: None
        """What somebody does to the object while it is read."""
        self._faults: list[tuple[str, str, deque[Fault]]] = []
        self._for_good: list[tuple[str, str, Fault]] = []
        self._lock = threading.Lock()

    def plan(self, method: str, *faults: Fault, key: str = "") -> None:
        """Apply `faults` to the next requests of a method, one each; of those only whose path holds `key`."""
        with self._lock:
            self._faults.append((method, key, deque(faults)))

    def plan_for_good(self, method: str, fault: Fault, *, key: str = "") -> None:
        """Apply a fault to all requests of a method whose path holds `key`, until it is all taken back."""
        with self._lock:
            self._for_good.append((method, key, fault))

    def mend(self) -> None:
        """Take back all that is planned."""
        with self._lock:
            self._faults.clear()
            self._for_good.clear()

    def next_fault(self, method: str, path: str) -> Fault:
        """The fault for a request that has just come in."""
        path = unquote(urlsplit(path).path)
        with self._lock:
            self.requests.append(method)
            self.lines.append(f"{method} {path}")
            for planned, key, queue in self._faults:
                if planned == method and key in path and queue:
                    return queue.popleft()
            return next((f for planned, key, f in self._for_good if planned == method and key in path), "pass")


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
        fault = self.proxy.next_fault(self.command, self.path)
        self.proxy.access_keys.update(re.findall(r"Credential=([^/]+)/", self.headers.get("Authorization", "")))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault.isdigit() or fault in _STATUS_OF_CODE:
            self._refuse(fault)
            return
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
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
        is_broken = fault in ("cut-body", "stall", "reset", "meddle")
        self._answer(upstream.status, kept, data[: len(data) // 2] if is_broken else data)
        if is_broken:
            self._break_off(fault)

    def _break_off(self, fault: Fault) -> None:
        self.wfile.flush()
        if fault == "meddle":
            self.proxy.meddle()
        elif fault == "stall":
            self.connection.settimeout(_LONGEST_STALL_S)
            self.connection.recv(1)  # until the client has had enough
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def _refuse(self, fault: Fault) -> None:
        status = _STATUS_OF_CODE.get(fault) or int(fault)
        code = f"<Code>{fault}</Code><Message>as planned</Message>" if fault in _STATUS_OF_CODE else ""
        told = f"<Error>{code}</Error>".encode() if code and self.command != "HEAD" else b""
        self._answer(status, [("Content-Length", str(len(told))), ("Content-Type", "application/xml")], told)

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

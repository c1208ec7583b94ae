"""ministack, an S3 and SQS server written independently of moto; it gives its notifications sequencers.

It runs in a virtual environment of its own, whose interpreter ``SPANSCAN_TEST_MINISTACK`` names:
``python3 -m venv V && V/bin/pip install ministack``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.child_process import owned_process, wait_until_ready
from tests.servers.running import HOST, NotInstalledError, RunningS3, aws_environment, free_ports, own_folder

INTERPRETER = "SPANSCAN_TEST_MINISTACK"
_START_LIMIT_S = 120.0


@contextmanager
def ministack() -> Iterator[RunningS3]:
    """A server on a free port of loopback, its objects in its memory; raises NotInstalledError, RuntimeError."""
    interpreter = os.environ.get(INTERPRETER, "")
    if not Path(interpreter).is_file():
        raise NotInstalledError(f"{INTERPRETER} must name the interpreter with ministack, got {interpreter!r}")
    (port,) = free_ports(1)
    with own_folder("ministack") as folder:
        environment = {
            "PATH": os.defpath,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "BIND_HOST": HOST,
            "MINISTACK_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "SERVICES": "s3,sqs",
            "S3_DATA_DIR": f"{folder}/s3",
            "LOG_LEVEL": "ERROR",
        }
        log_path = folder / "server.log"
        command = [interpreter, "-m", "ministack"]
        with owned_process(command, environment=environment, log_path=log_path) as process:
            endpoint_url = f"http://{HOST}:{port}"
            if not wait_until_ready(process, f"{endpoint_url}/_ministack/health", timeout_s=_START_LIMIT_S):
                raise RuntimeError(f"ministack must start, got: {log_path.read_text()[-500:]}")
            yield RunningS3(
                "ministack", endpoint_url, aws_environment("embedded", "embedded"), (process.pid,), True, None
            )

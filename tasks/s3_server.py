"""An S3 server of our own on loopback, with SQS beside it, for the demo and the tests: moto in a child process.

The server keeps its objects until it is stopped; it checks no credentials. It serves this machine only.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segmentation.errors import RunFailed

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_HOST = "127.0.0.1"
_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 5.0
_ORPHAN_CHECK_S = 0.5
_IN_MEMORY_BYTES = 256 * 1024
"""Objects up to this size stay in the server's memory, larger ones go to unnamed temporary files."""


@dataclass(frozen=True, slots=True)
class EmbeddedS3:
    """A running server."""

    endpoint_url: str
    """``http://127.0.0.1:port``."""
    environment: Mapping[str, str]
    """What the AWS chain of a client needs: dummy credentials, a region, and no other source of either."""
    process_id: int
    """Of the server process."""

    def upload_queue(self, bucket: str, *, prefix: str, name: str, receipts: int | None = 3) -> str:
        """The URL of a new queue that is told of every object written to or removed from a prefix of a bucket.

        After `receipts` a message goes to the queue ``<name>-dead``; None: never.
        """
        import boto3

        own: Any = {"endpoint_url": self.endpoint_url, "region_name": self.environment["AWS_DEFAULT_REGION"]}
        sqs = boto3.client("sqs", **own)
        attributes = {}
        if receipts is not None:
            dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
            policy = {"deadLetterTargetArn": _arn(sqs, dead), "maxReceiveCount": receipts}
            attributes["RedrivePolicy"] = json.dumps(policy)
        url: str = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        told: Any = {
            "QueueArn": _arn(sqs, url),
            "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
        }
        boto3.client("s3", **own).put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [told]}
        )
        return url


@contextmanager
def embedded_s3() -> Iterator[EmbeddedS3]:
    """A server on a free port of loopback, stopped at the end; it also ends when this process is killed.

    Raises RunFailed E_S3_SERVER where it does not start.
    """
    # -P: a folder named `tasks` where the operator stands must not be taken for ours.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tasks.s3_server", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A session of its own: Ctrl-C reaches its owner, which still needs the server to tidy up.
        start_new_session=True,
        env={**os.environ, "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(_IN_MEMORY_BYTES), "PYTHONUNBUFFERED": "1"},
    )
    try:
        port = _announced_port(process)
        endpoint_url = f"http://{_HOST}:{port}"
        _wait_until_ready(endpoint_url, process)
        yield EmbeddedS3(endpoint_url, _dummy_environment(), process.pid)
    finally:
        _stop(process)


def _arn(sqs: Any, url: str) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def _dummy_environment() -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_SESSION_TOKEN": "",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": f"{_HOST},localhost",
        "no_proxy": f"{_HOST},localhost",
    }


def _announced_port(process: subprocess.Popen[bytes]) -> int:
    if process.stdout is None:
        raise ValueError("the server must be started with its output piped")
    line = process.stdout.readline().strip()
    if not line.isdigit():
        raise _not_started(f"it ended with status {process.wait(_STOP_LIMIT_S)} before it announced its port")
    return int(line)


def _wait_until_ready(endpoint_url: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise _not_started(f"it ended with status {process.returncode}")
        try:
            with opener.open(f"{endpoint_url}/moto-api/", timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise _not_started(f"it did not answer within {_START_LIMIT_S:.0f} s")


def _not_started(cause: str) -> RunFailed:
    remedy = "run `python -m tasks.s3_server 0` to see why, or name a server of your own in SPANSCAN_S3_ENDPOINT_URL"
    return RunFailed("E_S3_SERVER", "embedded S3 server", f"it must start, but {cause}", remedy)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()


def serve(owner_pid: int) -> None:
    """Serve until the owner is gone (0: until stopped); the port is announced as one line on stdout."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    if owner_pid:
        threading.Thread(target=_end_with, args=(owner_pid,), daemon=True).start()
    application = _one_conditional_write_at_a_time(DomainDispatcherApplication(create_backend_app))
    server = make_server(_HOST, 0, application, threaded=True, request_handler=_quiet(MotoRequestHandler))
    os.environ["MOTO_PORT"] = str(server.server_port)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


def _end_with(owner_pid: int) -> None:
    # The parent's id changes when it dies, however it dies; PR_SET_PDEATHSIG would follow its thread instead.
    while os.getppid() == owner_pid:
        time.sleep(_ORPHAN_CHECK_S)
    os._exit(0)


def _one_conditional_write_at_a_time(application: "WSGIApplication") -> "WSGIApplication":
    """moto compares and writes in two steps, which two threads may mix; S3 does it in one."""
    one_at_a_time = threading.Lock()

    def serialised(environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        if environ["REQUEST_METHOD"] == "PUT" and ("HTTP_IF_MATCH" in environ or "HTTP_IF_NONE_MATCH" in environ):
            with one_at_a_time:
                return application(environ, start_response)
        return application(environ, start_response)

    return serialised


def _quiet(handler: type) -> type:
    """The handler without a line on stderr for each request."""
    return type("QuietHandler", (handler,), {"log_request": lambda *_: None})


if __name__ == "__main__":
    serve(int(sys.argv[1]))

"""An S3 and SQS server that checks who asks for what, with a user for each policy of `deployments/iam`.

moto evaluates actions, and of S3 the bucket and the key; for SQS it knows no resource, so the queue's name is put to
the test by nothing here: see `test_iam.py`.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tasks.s3_server import EmbeddedS3, embedded_s3
from tests.deployments.files import policy

INBOX, RESULTS, OTHER = "spanscan-inbox", "spanscan-results", "others-bucket"
ROLES: dict[str, tuple[str, ...]] = {
    "watcher": ("watcher",),
    "inspector": ("inspector", "inspector-own-server"),
    "inspector-of-aws": ("inspector",),
    "reader": ("reader",),
    "uploader": ("uploader",),
}
"""Policies of each; the server that checks them has an address of its own, as none of AWS has."""


@dataclass(frozen=True)
class Roles:
    """The server and the keys of its users."""

    server: EmbeddedS3
    keys: dict[str, dict[str, str]]
    queue_url: str

    def client(self, role: str, service: str = "s3") -> Any:
        """A client with the permissions of a role."""
        own: Any = {f"aws_{name}": value for name, value in self.keys[role].items()}
        return boto3.client(service, endpoint_url=self.server.endpoint_url, region_name="us-east-1", **own)

    def run(self, role: str, *command: str, home: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run python with the permissions of a role and nothing else of AWS in its environment."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SPANSCAN_"))}
        environment |= self.server.environment
        environment |= {f"AWS_{name.upper()}": value for name, value in self.keys[role].items()}
        environment |= {
            "SPANSCAN_HOME": str(home),
            "SPANSCAN_S3_ENDPOINT_URL": self.server.endpoint_url,
            "SPANSCAN_INBOX": f"s3://{INBOX}",
            "SPANSCAN_RESULTS": f"s3://{RESULTS}",
            "SPANSCAN_QUEUE_URL": self.queue_url,
            **settings,
        }
        return subprocess.run(
            [sys.executable, "-P", *command], env=environment, cwd=home, capture_output=True, text=True, check=False
        )


@contextmanager
def checked_roles() -> Iterator[Roles]:
    """Buckets, queue and users first; from then on every request is checked."""
    with embedded_s3() as server:
        own: Any = {
            "endpoint_url": server.endpoint_url, "region_name": "us-east-1",
            "aws_access_key_id": "root", "aws_secret_access_key": "root",
        }  # fmt: skip
        s3, iam = boto3.client("s3", **own), boto3.client("iam", **own)
        for bucket in (INBOX, RESULTS, OTHER):
            s3.create_bucket(Bucket=bucket)
        for bucket in (INBOX, RESULTS):
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket=OTHER, Key="theirs", Body=b"theirs")
        with _environment(server):
            queue_url = server.upload_queue(INBOX, prefix="watched/", name="spanscan-uploads")
        keys = {}
        for role in (*ROLES, "root"):
            iam.create_user(UserName=role)
            for name in ROLES.get(role, (role,)):
                document = _as_moto_evaluates(policy(name)) if role in ROLES else _EVERYTHING
                iam.put_user_policy(UserName=role, PolicyName=name, PolicyDocument=json.dumps(document))
            made = iam.create_access_key(UserName=role)["AccessKey"]
            keys[role] = {"access_key_id": made["AccessKeyId"], "secret_access_key": made["SecretAccessKey"]}
        _check_from_now_on(server)
        yield Roles(server, keys, queue_url)


_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def _as_moto_evaluates(document: dict[str, Any]) -> dict[str, Any]:
    """The same policy with the queue as "*", which is all that moto ever compares it with, and batches by their names.

    AWS asks for sqs:DeleteMessage where messages are deleted in a batch; moto knows only the name of the request.
    """
    statements = [
        {**one, "Resource": "*", "Action": [*one["Action"], *(f"{name}Batch" for name in one["Action"])]}
        if str(one["Resource"]).startswith("arn:aws:sqs")
        else one
        for one in document["Statement"]
    ]
    return {**document, "Statement": statements}


@contextmanager
def _environment(server: EmbeddedS3) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(server.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _check_from_now_on(server: EmbeddedS3) -> None:
    address, plain = f"{server.endpoint_url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    with urllib.request.urlopen(urllib.request.Request(address, b"0", plain), timeout=60):
        return

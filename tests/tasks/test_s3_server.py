"""The embedded server: reachable from this machine only, never left behind, good enough for Zarr."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import ObjectStore

from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3, embedded_s3

OWNER = """
import signal, time
from tasks.s3_server import embedded_s3
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
with embedded_s3() as server:
    print(server.process_id, flush=True)
    time.sleep(60)
"""


def is_gone(process_id: int, *, within_s: float) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if not psutil.pid_exists(process_id) or psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_it_listens_on_loopback_only_and_in_a_session_of_its_own(s3_server: EmbeddedS3) -> None:
    listening = [c for c in psutil.Process(s3_server.process_id).net_connections() if c.status == psutil.CONN_LISTEN]
    assert [c.laddr.ip for c in listening] == ["127.0.0.1"]
    assert os.getsid(s3_server.process_id) != os.getsid(0)


def test_it_is_stopped_with_its_context_also_when_that_fails() -> None:
    with pytest.raises(KeyboardInterrupt), embedded_s3() as server:
        raise KeyboardInterrupt
    assert is_gone(server.process_id, within_s=1)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_it_ends_with_its_owner(how: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert owner.stdout is not None
    server_id = int(owner.stdout.readline())
    owner.send_signal(how)
    owner.wait(10)
    owner.stdout.close()
    assert is_gone(server_id, within_s=10)


def test_a_folder_named_tasks_in_the_working_directory_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with embedded_s3() as server:
        assert server.endpoint_url.startswith("http://127.0.0.1:")


def test_a_sharded_zarr_array_written_through_obstore_reads_back(s3_server: EmbeddedS3) -> None:
    s3_client(endpoint_url=s3_server.endpoint_url, region=None).create_bucket(Bucket="zarr-test")
    store = ObjectStore(
        S3Store(
            "zarr-test",
            prefix="runs/masks.zarr",
            endpoint=s3_server.endpoint_url,
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
            credential_provider=Boto3CredentialProvider(),
        )
    )
    array = zarr.open_group(store, mode="a", zarr_format=3).create_array(
        "deck/mask",
        shape=(300, 250),
        dtype="uint8",
        chunks=(64, 64),
        shards=(128, 128),
        fill_value=255,
        compressors=[ZstdCodec(level=3), Crc32cCodec()],
    )
    block = np.random.default_rng(0).integers(0, 3, (128, 122), dtype=np.uint8)
    array[128:256, 128:250] = block
    again = zarr.open_array(store, path="deck/mask", mode="r")
    assert np.array_equal(again[128:256, 128:250], block)
    assert np.array_equal(again[150:160, 200:210], block[22:32, 72:82])
    assert (np.asarray(again[:128]) == 255).all()

"""What SECURITY.md promises of the servers and of itself."""

import os
import re
from pathlib import Path

import psutil
import pytest

from flows.prefect_home import Serving
from flows.serve import _check_address
from tasks.child_process import free_port
from tests.deployments.files import ROOT

POLICY = (ROOT / ".github" / "SECURITY.md").read_text()


def test_every_test_that_security_md_names_is_there() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", POLICY))
    assert len(named) > 20
    assert not [name for name in named if f"def {name}(" not in tests]


def test_an_open_address_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    _check_address(Serving("127.0.0.1", free_port()))
    assert capsys.readouterr().err == ""
    _check_address(Serving("0.0.0.0", free_port()))
    assert "warning: 0.0.0.0 lets every machine" in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_scheduler_nothing_listens_beyond_loopback() -> None:
    from tasks.cluster import dask_client

    before = _listened_to()  # by other tests of the same process
    with dask_client(scheduler=None, workers=1) as client:
        assert client.submit(os.getpid).result() == os.getpid()
        begun = _listened_to() - before
    assert {ip for ip, _ in begun} <= {"127.0.0.1", "::1"}


def _listened_to() -> set[tuple[str, int]]:
    connections = psutil.Process().net_connections("inet")
    return {(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN}


def test_no_flow_keeps_results_that_would_be_unpickled() -> None:
    decorated = re.compile(r"^@flow\((.*?)\)(?:  # fmt: skip)?\ndef ", re.MULTILINE | re.DOTALL)
    flows = [
        (path.name, found)
        for path in Path(ROOT / "flows").glob("*.py")
        for found in decorated.findall(path.read_text())
    ]
    assert len(flows) >= 5
    assert not [name for name, options in flows if "persist_result=False" not in options]

"""A PostgreSQL of a test's own on loopback, run by a user without privileges, as it asks for."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.child_process import free_port

_FOLDERS = ("/usr/local/bin", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True))
_PASSWORD = "of-this-test-alone"


def program(name: str) -> str | None:
    """Where a program of PostgreSQL is; Debian keeps them off the path."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_FOLDERS))


def missing() -> str | None:
    """Why no server can be started here; None where one can."""
    for name in ("initdb", "pg_ctl"):
        if program(name) is None:
            return f"PostgreSQL's {name} is not installed (Debian: postgresql)"
    if os.geteuid() == 0 and (shutil.which("setpriv") is None or not _users()):
        return "PostgreSQL refuses to run as root, and there is no setpriv or no user postgres or nobody"
    return None


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database, as Prefect takes it; the server is stopped and forgotten at the end."""
    # Not in pytest's own folders, which let no other user through.
    with tempfile.TemporaryDirectory(prefix="spanscan-postgresql-") as name, _server(Path(name)) as port:
        yield f"postgresql+asyncpg://prefect:{_PASSWORD}@127.0.0.1:{port}/postgres"


@contextmanager
def _server(folder: Path) -> Iterator[int]:
    data, secret, port = folder / "data", folder / "password", free_port()
    data.mkdir()
    secret.write_text(_PASSWORD)
    if os.geteuid() == 0:
        user = _users()[0]
        for path in (folder, data, secret):
            os.chown(path, user.pw_uid, user.pw_gid)
    # C and not the machine's locale: initdb would take its language for messages, dates and sorting.
    common = ("--pgdata", str(data))
    _run(
        "initdb", *common, "--username", "prefect", "--auth", "scram-sha-256", "--pwfile", str(secret), "--locale", "C"
    )
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync=off"
    _run("pg_ctl", *common, "--wait", "--timeout", "240", "--log", str(folder / "log"), "--options", options, "start")
    try:
        yield port
    finally:
        _run("pg_ctl", *common, "--wait", "--mode", "immediate", "stop")


def _run(name: str, *arguments: str) -> None:
    found = program(name)
    if found is None:
        raise ValueError(f"{name} must be installed, see `missing`")
    as_other = []
    if os.geteuid() == 0:
        user = _users()[0]
        as_other = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    done = subprocess.run([*as_other, found, *arguments], cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} must succeed, got {done.stdout}{done.stderr}")


def _users() -> list[pwd.struct_passwd]:
    known = {user.pw_name: user for user in pwd.getpwall()}
    return [known[name] for name in ("postgres", "nobody") if name in known]

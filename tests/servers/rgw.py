"""Ceph's S3 gateway over the smallest cluster there is: one monitor, one store in memory, no manager.

The only one of the three that checks credentials and permissions. From Debian:
``apt-get install --no-install-recommends ceph-mon ceph-osd radosgw``. It needs no root and nothing outside its folder.
"""

import os
import secrets
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tasks.child_process import owned_process, wait_until_ready
from tests.servers.running import HOST, NotInstalledError, RunningS3, aws_environment, free_ports, own_folder

STORE_BYTES = 512 << 20
"""The most that all objects may take."""
_PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_STEP_LIMIT_S = 240
_CONFIGURATION = """\
[global]
fsid = {cluster_id}
mon_host = [v2:{host}:{monitor_port}]
public_addr = {host}
cluster_addr = {host}
ms_bind_ipv6 = false
# Between the processes of one cluster on loopback; S3's own credentials are checked all the same.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
# Without authentication there is no key to encrypt with.
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
run_dir = {folder}
crash_dir = {folder}
admin_socket =
pid_file =
log_file = {folder}/$name.log
mon_cluster_log_file = {folder}/cluster.log
mon_data = {folder}/mon
mon_data_avail_warn = 2
mon_data_avail_crit = 1
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = {store_bytes}
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 500
osd_class_load_list = *
osd_class_default_list = *
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint={host}:{gateway_port}
"""


@contextmanager
def ceph_rgw() -> Iterator[RunningS3]:
    """A gateway on a free port of loopback, with a bucket owner and a stranger; raises NotInstalledError, RuntimeError.

    All that it knows is lost at its end.
    """
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        raise NotInstalledError(f"Ceph's gateway needs ceph-mon, ceph-osd and radosgw, not found: {', '.join(missing)}")
    monitor_port, gateway_port = free_ports(2)
    with own_folder("rgw") as folder, ExitStack() as running:
        name = str(folder)
        for part in ("mon", "osd", "rgw"):
            (folder / part).mkdir()
        cluster_id, store_id = str(uuid.uuid4()), str(uuid.uuid4())
        (folder / "ceph.conf").write_text(
            _CONFIGURATION.format(
                cluster_id=cluster_id,
                folder=folder,
                host=HOST,
                monitor_port=monitor_port,
                gateway_port=gateway_port,
                store_bytes=STORE_BYTES,
            )
        )
        environment = {"PATH": os.environ["PATH"], "HOME": name, "CEPH_CONF": f"{name}/ceph.conf"}

        def start(*command: str) -> subprocess.Popen[bytes]:
            log_path = folder / f"{command[0]}.out"
            return running.enter_context(owned_process(command, environment=environment, log_path=log_path))

        address = f"[v2:{HOST}:{monitor_port}]"
        _run("monmaptool", "--create", "--addv", "a", address, "--fsid", cluster_id, f"{name}/map", env=environment)
        _run("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{name}/map", env=environment)
        processes = [start("ceph-mon", "-f", "-i", "a")]
        _run("ceph", "osd", "new", store_id, env=environment)
        _run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store_id, env=environment)
        processes.append(start("ceph-osd", "-f", "-i", "0"))
        owner, stranger = (_user(name, environment) for name in ("owner", "stranger"))
        processes.append(start("radosgw", "-f", "-n", "client.rgw"))
        endpoint_url = f"http://{HOST}:{gateway_port}"
        if not wait_until_ready(processes[-1], endpoint_url, timeout_s=_STEP_LIMIT_S):
            raise RuntimeError(f"radosgw must start, got: {(folder / 'client.rgw.log').read_text()[-500:]}")
        yield RunningS3("rgw", endpoint_url, owner, tuple(p.pid for p in processes), False, stranger)


def _user(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    keys = secrets.token_hex(10), secrets.token_hex(20)
    named = ("--uid", name, "--display-name", name, "--access-key", keys[0], "--secret-key", keys[1])
    _run("radosgw-admin", "user", "create", *named, env=environment)
    return aws_environment(*keys)


def _run(*command: str, env: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=_STEP_LIMIT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} must succeed, got status {done.returncode}: {done.stderr[-500:]}")

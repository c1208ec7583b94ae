"""A scheduler over TLS: certificates of one authority serve, any other is refused with what to do."""

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path

import dask
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from segmentation.errors import RunFailed
from tasks.cluster import dask_client, run_each
from tests.tasks.cluster.processes import DaskProcesses, dask_processes
from tests.tasks.cluster.work import doubled

pytestmark = pytest.mark.slow


class Authority:
    """A certificate authority of its own, with one certificate for everybody."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.ca_file, self.cert_file, self.key_file = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {folder.name}")])
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dask")])
        ca = _signed(ca_name, ca_name, ca_key.public_key(), ca_key, authority=True)
        self.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        certificate = _signed(name, ca_name, key.public_key(), ca_key, authority=False)
        self.cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        unencrypted = serialization.NoEncryption()
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
        self.key_file.write_bytes(key.private_bytes(*pem))

    def environment(self) -> Mapping[str, str]:
        """Dask's configuration for scheduler and workers, as environment."""
        tls = "DASK_DISTRIBUTED__COMM__TLS__"
        roles = {
            f"{tls}{role}__{what}": str(file)
            for role in ("SCHEDULER", "WORKER")
            for what, file in (("CERT", self.cert_file), ("KEY", self.key_file))
        }
        return {f"{tls}CA_FILE": str(self.ca_file), **roles}

    def client_configuration(self) -> dict[str, str]:
        """Dask's configuration for a client."""
        tls = "distributed.comm.tls"
        return {
            f"{tls}.ca-file": str(self.ca_file),
            f"{tls}.client.cert": str(self.cert_file),
            f"{tls}.client.key": str(self.key_file),
        }


def _signed(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def cluster(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    folder = tmp_path_factory.mktemp("cluster")
    with (
        dask.config.set(authority.client_configuration()),
        dask_processes(folder, workers=1, environment=authority.environment(), protocol="tls") as started,
    ):
        yield started


def test_a_client_with_the_clusters_authority_is_served(cluster: DaskProcesses, authority: Authority) -> None:
    assert cluster.address.startswith("tls://")
    with (
        dask.config.set(authority.client_configuration()),
        dask_client(scheduler=cluster.address, workers=1) as client,
    ):
        assert run_each(client, doubled, range(5), shared=2) == [0, 2, 4, 6, 8]


def test_a_client_with_another_authority_is_refused_with_what_to_do(cluster: DaskProcesses, tmp_path: Path) -> None:
    other = Authority(tmp_path / "theirs")
    told = _failure_of(cluster.address, other.client_configuration())
    assert "certificate" in told.cause.lower()
    assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in told.remedy


NONE = {"distributed.comm.tls.ca-file": None, "distributed.comm.tls.client.cert": None}


@pytest.mark.parametrize(
    "configuration",
    [NONE, {**NONE, "distributed.comm.tls.ca-file": "/nowhere/ca.pem", "distributed.comm.tls.client.cert": "/nowhere"}],
    ids=["without-certificates", "with-files-that-are-not-there"],
)
def test_a_client_without_certificates_is_told_where_they_belong(
    configuration: dict[str, str | None], cluster: DaskProcesses
) -> None:
    assert "distributed.comm.tls.ca-file" in _failure_of(cluster.address, configuration).remedy


def test_a_client_without_tls_is_refused_by_a_scheduler_with_it(cluster: DaskProcesses) -> None:
    assert _failure_of(cluster.address.replace("tls://", "tcp://"), {})


def _failure_of(address: str, configuration: Mapping[str, str | None]) -> RunFailed:
    with (
        dask.config.set(configuration),
        pytest.raises(RunFailed) as failure,
        dask_client(scheduler=address, workers=1),
    ):
        pass
    assert failure.value.code == "E_SCHEDULER"
    return failure.value

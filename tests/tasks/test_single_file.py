"""One file by its address, in a folder or in S3: pinned with its checksum, or refused."""

import hashlib
from pathlib import Path

import boto3
import pytest

from segmentation.errors import InputRejected
from tasks.s3_server import EmbeddedS3
from tasks.single_file import pinned_file

CONTENT = b"some mask"


def test_a_local_file_is_pinned_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "m.tif").write_bytes(CONTENT)
    source, path = pinned_file(
        str(tmp_path / "m.tif"), staging_dir=tmp_path / "staging", endpoint_url=None, region=None
    )
    assert path == tmp_path / "m.tif"
    assert (source.name, source.sha256) == ("m.tif", hashlib.sha256(CONTENT).hexdigest())


def test_an_object_is_staged_and_pinned(s3_server: EmbeddedS3, tmp_path: Path) -> None:
    s3 = boto3.client("s3", endpoint_url=s3_server.endpoint_url)
    s3.create_bucket(Bucket="single")
    s3.put_object(Bucket="single", Key="masks/m.tif", Body=CONTENT)
    where = {"staging_dir": tmp_path / "staging", "endpoint_url": s3_server.endpoint_url, "region": None}
    source, path = pinned_file("s3://single/masks/m.tif", **where)
    assert path.read_bytes() == CONTENT
    assert (source.uri, source.sha256) == ("s3://single/masks/m.tif", hashlib.sha256(CONTENT).hexdigest())
    with pytest.raises(InputRejected) as caught:
        pinned_file("s3://single/masks/absent.tif", **where)
    assert caught.value.code == "E_NOT_FOUND"


@pytest.mark.parametrize("address", ["absent.tif", "", "s3://bucket", "s3://bucket/folder/", "nul\0byte.tif"])
def test_an_address_of_no_file_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputRejected) as caught:
        pinned_file(address, staging_dir=tmp_path, endpoint_url=None, region=None)
    assert caught.value.code == "E_NOT_FOUND"

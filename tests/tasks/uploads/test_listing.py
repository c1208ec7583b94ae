"""The inbox as a stream of uploads, in S3 and in a folder, with the server's dates."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3
from tasks.storage import Storage, open_storage
from tasks.uploads.listing import read_dated, uploads

FILES = {
    "a/one.tif": b"1",
    "a/survey.json": b"{}",
    "a/sub/deeper.tif": b"not of the survey",
    "a-b/two.tif": b"2",
    "a b/é.tif": b"3",
    "loose.tif": b"belongs to no survey",
}


@pytest.fixture(params=["s3", "folder"])
def inbox(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return open_storage(str(tmp_path / "inbox"), endpoint_url=None, region=None)
    server: EmbeddedS3 = request.getfixturevalue("s3_server")
    bucket = f"listing-{abs(hash(request.node.nodeid)) % 10**12}"
    s3_client(endpoint_url=server.endpoint_url, region=None).create_bucket(Bucket=bucket)
    return open_storage(f"s3://{bucket}/inbox", endpoint_url=server.endpoint_url, region=None)


@pytest.fixture
def filled(inbox: Storage) -> Storage:
    for key, data in FILES.items():
        inbox.write(key, data, content_type="image/tiff")
    return inbox


def test_each_survey_comes_once_with_its_own_files(filled: Storage) -> None:
    found = {upload.name: [file.name for file in upload.files] for upload in uploads(filled)}
    assert found == {"a": ["one.tif", "survey.json"], "a-b": ["two.tif"], "a b": ["é.tif"]}
    assert len(list(uploads(filled))) == 3


def test_one_survey_can_be_looked_at_alone(filled: Storage) -> None:
    assert [upload.name for upload in uploads(filled, only="a")] == ["a"]
    assert list(uploads(filled, only="a-")) == []
    assert next(uploads(filled, only="a")).content == next(u for u in uploads(filled) if u.name == "a").content


def test_an_inbox_that_is_empty_or_not_there_holds_nothing(inbox: Storage) -> None:
    assert list(uploads(inbox)) == []


def test_dates_are_those_of_the_place_where_the_files_lie(filled: Storage) -> None:
    for upload in uploads(filled):
        assert timedelta(0) <= upload.seen_at - upload.changed_at < timedelta(minutes=5)
    dated = read_dated(filled, "a/one.tif")
    assert dated is not None
    assert dated.data == b"1"
    assert timedelta(0) <= dated.now - dated.modified_at < timedelta(minutes=5)
    assert read_dated(filled, "a/none.tif") is None


@pytest.mark.slow
def test_a_survey_of_more_than_a_page_is_one_survey(s3_server: EmbeddedS3) -> None:
    client = s3_client(endpoint_url=s3_server.endpoint_url, region=None)
    client.create_bucket(Bucket="listing-pages")
    for i in range(1010):
        client.put_object(Bucket="listing-pages", Key=f"big/{i:05d}.tif", Body=b"")
    inbox = open_storage("s3://listing-pages", endpoint_url=s3_server.endpoint_url, region=None)
    (found,) = uploads(inbox)
    assert len(found.files) == 1010


def test_a_file_that_is_being_put_in_parts_is_seen(s3_server: EmbeddedS3) -> None:
    client = s3_client(endpoint_url=s3_server.endpoint_url, region=None)
    client.create_bucket(Bucket="listing-parts")
    client.put_object(Bucket="listing-parts", Key="in/a/one.tif", Body=b"1")
    client.put_object(Bucket="listing-parts", Key="in/b/one.tif", Body=b"1")
    begun = client.create_multipart_upload(Bucket="listing-parts", Key="in/a/two.tif")
    inbox = open_storage("s3://listing-parts/in", endpoint_url=s3_server.endpoint_url, region=None)
    assert {upload.name: upload.parts_under_way for upload in uploads(inbox)} == {"a": True, "b": False}
    client.abort_multipart_upload(Bucket="listing-parts", Key="in/a/two.tif", UploadId=begun["UploadId"])
    assert not any(upload.parts_under_way for upload in uploads(inbox))


def test_a_copy_that_keeps_its_old_times_has_just_arrived(tmp_path: Path) -> None:
    """Symptom to guard against: a folder copied with its times counts as quiet while the copy goes on."""
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "one.tif"
    path.write_bytes(b"1")
    os.utime(path, (0, 0))
    (found,) = uploads(open_storage(str(tmp_path), endpoint_url=None, region=None))
    assert datetime.now(UTC) - found.changed_at < timedelta(minutes=1)
    assert time.time() - path.stat().st_mtime > 1e9

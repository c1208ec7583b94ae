"""What S3 says of one object, and why where it says only "no"."""

import base64
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tasks.s3_errors import error_code, http_status, is_not_found

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

_MD5_HEX = re.compile(r"[0-9a-f]{32}")
_CHECKSUM_NAMES = ("SHA256", "SHA1", "CRC32", "CRC32C", "CRC64NVME")
_REFUSED = (400, 401, 403)


def head_of(client: "S3Client", bucket: str, key: str, *, version_id: str | None) -> "HeadObjectOutputTypeDef | None":
    """The answer to a head request for a key of the bucket, None where there is no object; raises ClientError.

    The answer to a head request has no body, and so a refusal no code: expired credentials look like a missing
    permission. The reason is then asked for by one request for a byte.
    """
    where: Any = {"Bucket": bucket, "Key": key}
    if version_id is not None:
        where["VersionId"] = version_id
    try:
        return client.head_object(**where, ChecksumMode="ENABLED")
    except ClientError as refused:
        if is_not_found(refused):
            return None
        if http_status(refused) in _REFUSED:
            _raise_reason(client, where)
        raise


def _raise_reason(client: "S3Client", where: Any) -> None:
    try:
        client.get_object(**where, Range="bytes=0-0")["Body"].close()
    except ClientError as told:
        if http_status(told) in _REFUSED and not error_code(told).isdigit():
            raise


def etag_of(answer: "HeadObjectOutputTypeDef | GetObjectOutputTypeDef") -> str:
    """The entity tag without its quotes."""
    return answer["ETag"].strip('"')


def version_of(version_id: str | None) -> str | None:
    """The version, None where the bucket keeps none."""
    return None if version_id in (None, "", "null") else version_id


def modified_at(answer: "HeadObjectOutputTypeDef") -> datetime | None:
    """When the object was written, by the server's clock."""
    return answer.get("LastModified")


def checksums_of(answer: "HeadObjectOutputTypeDef | GetObjectOutputTypeDef") -> dict[str, str]:
    """Checksums of the whole content in an answer, name → base64."""
    found: dict[str, str] = {}
    etag = etag_of(answer)
    # Of an object in parts there may be a checksum of the parts' checksums, which says nothing of the whole.
    is_in_parts = "-" in etag and answer.get("ChecksumType") != "FULL_OBJECT"
    for name in _CHECKSUM_NAMES:
        value = str(answer.get(f"Checksum{name}", ""))
        if value and "-" not in value and not is_in_parts:
            found[name] = value
    # S3's tag is the MD5 of an object that was put in one piece and not encrypted by a customer's key.
    if (
        _MD5_HEX.fullmatch(etag)
        and answer.get("ServerSideEncryption", "AES256") == "AES256"
        and not answer.get("SSECustomerAlgorithm")
    ):
        found["MD5"] = base64.b64encode(bytes.fromhex(etag)).decode()
    return found

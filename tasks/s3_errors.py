"""boto3's errors as an operator needs them: a code, the cause, and what to mend."""

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import S3UploadFailedError
from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from segmentation.errors import InputRejected, RunFailed, SpanscanError, UsageError

_PERMISSIONS = {
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectVersions": "s3:ListBucketVersions",
}
_CREDENTIAL_CODES = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidToken"}
    | {"TokenRefreshRequired", "RequestExpired", "UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure"}
)
_CREDENTIAL_ERRORS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.MetadataRetrievalError,
    boto.RefreshWithMFAUnsupportedError,
)
_REGION_CODES = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307"}
)
_NOT_FOUND_CODES = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchVersion"})


@contextmanager
def telling_s3_errors(uri: str, *, endpoint_url: str | None, region: str | None) -> Iterator[None]:
    """Raise botocore's errors as SpanscanError about `uri`; let everything else through."""
    try:
        yield
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise told(error, uri, endpoint_url=endpoint_url, region=region) from error
    except RuntimeError as error:
        # What botocore raises where a refresh brought credentials that are out of date as well.
        if not str(error).startswith("Credentials were refreshed"):
            raise
        raise _credentials(uri, _first_line(error)) from error


def told(error: Exception, uri: str, *, endpoint_url: str | None, region: str | None) -> SpanscanError:
    """The SpanscanError for an error of boto3 about `uri`."""
    # boto3 wraps the first error of a managed transfer in one that keeps its text only; the cause is chained.
    inner = error.__context__ if isinstance(error, S3UploadFailedError) else error
    if isinstance(inner, ClientError):
        return _told_by_server(inner, uri, region=region)
    if isinstance(inner, _CREDENTIAL_ERRORS):
        return _credentials(uri, _first_line(inner))
    if isinstance(inner, boto.FlexibleChecksumError):
        cause = f"the content must agree with the checksum kept for it, got several times: {_first_line(inner)}"
        return InputRejected("E_CHECKSUM", uri, cause, "upload the file again")
    if isinstance(inner, boto.ParamValidationError | boto.InvalidRegionError):
        return UsageError(
            "E_URI", uri, f"bucket, key and region must be well formed, got: {_first_line(inner)}", "mend it"
        )
    if isinstance(inner, boto.HTTPClientError | boto.ConnectionError | boto.ConnectionClosedError):
        where = endpoint_url or "AWS S3"
        return RunFailed(
            "E_S3_UNREACHABLE",
            uri,
            f"the S3 server at {where} must answer, got: {_first_line(inner)}",
            "start the server, mend the network, or set SPANSCAN_S3_ENDPOINT_URL to the right address",
        )
    return RunFailed("E_S3", uri, f"the S3 request must succeed, got: {_first_line(inner)}", "run it again")


def error_code(error: ClientError) -> str:
    """The code that the server gave, for instance ``NoSuchKey``; the HTTP status where it gave none."""
    return str(error.response.get("Error", {}).get("Code", "")) or str(http_status(error))


def http_status(error: ClientError) -> int:
    """The HTTP status of an error answer, 0 where it is unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_not_found(error: ClientError) -> bool:
    """Whether the object (not the bucket) is missing."""
    return error_code(error) in _NOT_FOUND_CODES


def not_found(uri: str) -> InputRejected:
    """The rejection of an object that is not there."""
    return InputRejected(
        "E_NOT_FOUND", uri, "the object must exist, got nothing there", "check the spelling of the address"
    )


def _told_by_server(error: ClientError, uri: str, *, region: str | None) -> SpanscanError:
    code, status = error_code(error), http_status(error)
    if code == "NoSuchBucket":
        bucket = uri.removeprefix("s3://").split("/")[0]
        cause = f"the bucket must exist, got none named {bucket!r}"
        return InputRejected(
            "E_NO_BUCKET", uri, cause, "check the name and SPANSCAN_S3_ENDPOINT_URL, or create the bucket"
        )
    if code in _CREDENTIAL_CODES:
        return _credentials(uri, _first_line(error))
    if code == "RequestTimeTooSkewed":
        cause = f"this machine's clock must agree with the server's, got: {_first_line(error)}"
        return RunFailed("E_CLOCK", uri, cause, "set the clock")
    if code in _REGION_CODES:
        cause = f"the bucket must lie in the region {region or 'of the AWS settings'}, got: {_first_line(error)}"
        return UsageError("E_REGION", uri, cause, "set SPANSCAN_S3_REGION to the bucket's region")
    if is_not_found(error):
        return not_found(uri)
    if status in (401, 403):
        permission = _PERMISSIONS.get(error.operation_name, f"s3:{error.operation_name}")
        cause = f"the credentials in use must have the permission {permission} on it, got: {_first_line(error)}"
        return RunFailed("E_ACCESS", uri, cause, f"grant {permission}, or use other credentials")
    if status >= 500 or status == 429 or code in ("SlowDown", "Throttling", "RequestTimeout"):
        cause = f"the S3 server must answer, got after several tries: {_first_line(error)}"
        return RunFailed("E_S3_UNAVAILABLE", uri, cause, "wait for the server to recover and run it again")
    return RunFailed("E_S3", uri, f"the S3 request must succeed, got: {_first_line(error)}", "run it again")


def _credentials(uri: str, what: str) -> RunFailed:
    cause = f"valid AWS credentials must be at hand, got: {what}"
    remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or refresh the session, and run it again"
    return RunFailed("E_CREDENTIALS", uri, cause, remedy)


def _first_line(error: BaseException | None) -> str:
    return " ".join(str(error).split())[:300]

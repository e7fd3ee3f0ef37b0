"""The S3 client of the whole program, and the meaning of its errors.

Results are written to one store (settings `s3_*`); datasets are read from the same store or from another
one with credentials of its own (`dataset_s3_*`). The client repeats requests that were throttled or cut off; for the
remaining errors `explain` says whether another attempt may help.

S3 refuses requests whose signature time differs from its own clock by fifteen minutes or more, and botocore does not
correct for that: the message of such an error names the clock.
"""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from gfi.store.errors import one_line
from gfi.store.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

POOL = 32
ATTEMPTS = 8

ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
PRECONDITION = frozenset({"PreconditionFailed", "412"})
"""`If-None-Match: *`: the object exists. `If-Match`: it is another version."""
_TRANSIENT = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        # The body was damaged in transit: sent again, it should arrive whole.
        "BadDigest",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
        "IncompleteBody",
    }
)
_FULL = frozenset(
    {"QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "XMinioStorageFull", "507"}
)
"""The store has no room: someone has to make some, and then the work goes on by itself."""
_ADVICE = {
    "NoSuchBucket": "there is no such bucket; create it (of results: gfi db upgrade --bucket) or set {prefix}_BUCKET",
    "AccessDenied": "access denied; see {prefix}_ACCESS_KEY and {prefix}_SECRET_KEY",
    "403": "access denied; see {prefix}_ACCESS_KEY and {prefix}_SECRET_KEY",
    "InvalidAccessKeyId": "the access key is unknown; see {prefix}_ACCESS_KEY",
    "SignatureDoesNotMatch": "the secret key is wrong; see {prefix}_SECRET_KEY",
    "InvalidBucketName": "this is not a valid bucket name; see {prefix}_BUCKET",
    "InvalidObjectState": "the object is archived; restore it first",
    "PermanentRedirect": "the bucket is in another region; see {prefix}_REGION",
}


def results_client(settings: Settings) -> "S3Client":
    """The client that writes results. Connects on first use."""
    return _client(
        settings.s3_endpoint,
        settings.s3_region,
        settings.s3_access_key,
        settings.s3_secret_key.get_secret_value() if settings.s3_secret_key else None,
        settings.s3_addressing,
        settings.s3_checksums,
    )


def datasets_client(settings: Settings) -> "S3Client":
    """The client that reads datasets: the settings `dataset_s3_*`, where they are not set `s3_*`."""
    secret = settings.dataset_s3_secret_key or settings.s3_secret_key
    return _client(
        settings.dataset_s3_endpoint or settings.s3_endpoint,
        settings.dataset_s3_region or settings.s3_region,
        settings.dataset_s3_access_key or settings.s3_access_key,
        secret.get_secret_value() if secret else None,
        settings.s3_addressing,
        settings.s3_checksums,
    )


# Creating a client takes 0.1 s and is not thread-safe; using one is.
@functools.lru_cache(maxsize=8)
def _client(
    endpoint: str | None, region: str, access: str | None, secret: str | None, addressing: Any, checksums: Any
) -> "S3Client":
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=POOL,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            s3={"addressing_style": addressing},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
        ),
    )


def error_code(error: Exception) -> str:
    """The store's code of an error, or an empty string."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


@dataclass(frozen=True)
class Failure:
    """What an error means.

    kind: `absent`, there is no such object; `final`, another attempt does not help; `transient`, it may
    help; `clock`, the store refuses the clock of this machine.
    """

    kind: Literal["absent", "final", "transient", "clock"]
    message: str


def explain(error: ClientError | BotoCoreError, prefix: str) -> Failure:
    """What an error means. prefix: of the variables that the advice names, `GFI_S3` or `GFI_DATASET_S3`."""
    if isinstance(error, ClientError):
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in CLOCK:
            allowed = "the store refuses this machine's clock (S3 allows 15 minutes)"
            return Failure("clock", f"{allowed}; correct it: gfi doctor shows by how much it is off")
        if code in _ADVICE:
            return Failure("final", _ADVICE[code].format(prefix=prefix))
        if code in ABSENT:
            return Failure("absent", "there is no such object")
        # The text comes from the store and may have any length and shape.
        text = str(error.response.get("Error", {}).get("Message") or code or status)
        message = " ".join(text.split())[:300]
        if code in _FULL or status == 507:
            return Failure("transient", f"the store has no room ({message}); delete objects or enlarge it")
        again = code in _TRANSIENT or status >= 500 or status in (408, 409, 429)
        return Failure("transient" if again else "final", message)
    if isinstance(error, NoCredentialsError):
        return Failure("final", f"no credentials; set {prefix}_ACCESS_KEY and {prefix}_SECRET_KEY")
    if isinstance(error, ParamValidationError):
        return Failure("final", one_line(error))
    return Failure("transient", f"the store is not answering: {one_line(error)}")

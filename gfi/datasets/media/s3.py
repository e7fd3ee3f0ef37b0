"""Photographs in an S3 bucket: `s3://bucket/prefix`.

The prefix is a folder: `s3://b/cats` lists what starts with `cats/`. Keys are relative to it. The version
of an object is its ETag; it is read with `If-Match`, so that what was listed is what is explained. An
object that changed since is read as it is now and says `changed`.

The store and its credentials are `dataset_s3_*` of the settings, where these are not set `s3_*`. A listing
streams in pages of 1,000 in the store's order (UTF-8 bytes; the same as ours); it holds one page.
"""

import functools
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.listing import MAX_BYTES, Fetched, Listed, fetched, is_image, or_empty
from gfi.store.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Trying again does not help, and the image or the request is to blame.
_FINAL = {
    "NoSuchBucket": "there is no such bucket",
    "NoSuchKey": "there is no such object",
    "404": "there is no such object",
    "AccessDenied": "access denied; see GFI_DATASET_S3_ACCESS_KEY and GFI_DATASET_S3_SECRET_KEY",
    "403": "access denied; see GFI_DATASET_S3_ACCESS_KEY and GFI_DATASET_S3_SECRET_KEY",
    "InvalidAccessKeyId": "the access key is unknown; see GFI_DATASET_S3_ACCESS_KEY",
    "SignatureDoesNotMatch": "the secret key is wrong; see GFI_DATASET_S3_SECRET_KEY",
    "InvalidBucketName": "that is not the name of a bucket",
    "InvalidObjectState": "the object is archived; restore it first",
    "PermanentRedirect": "the bucket is in another region; see GFI_DATASET_S3_REGION",
}
_CHANGED = {"PreconditionFailed", "412"}


class Reader:
    """Listing and reading, with our errors. One per bucket and process; thread-safe."""

    def __init__(self, name: str, settings: Settings):
        if settings.dataset_buckets and name not in settings.dataset_buckets:
            allowed = ", ".join(settings.dataset_buckets)
            raise DatasetError(
                f"s3://{name} is not among the dataset buckets ({allowed}); see GFI_DATASET_BUCKETS"
            )
        secret = settings.dataset_s3_secret_key or settings.s3_secret_key
        self.name = name
        self._client = _client(
            settings.dataset_s3_endpoint or settings.s3_endpoint,
            settings.dataset_s3_region or settings.s3_region,
            settings.dataset_s3_access_key or settings.s3_access_key,
            secret.get_secret_value() if secret else None,
            settings.s3_addressing,
            settings.s3_checksums,
        )

    def pages(self, prefix: str, **more: Any) -> Iterator[Any]:
        """Pages of ListObjectsV2."""
        try:
            yield from self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix, **more
            )
        except (ClientError, BotoCoreError) as error:
            raise self._failure(error, prefix) from error

    def read(self, key: str, version: str | None) -> Fetched:
        """One object. version: the ETag it is expected to have."""
        condition = {"IfMatch": f'"{version}"'} if version else {}
        for attempt in range(3):
            try:
                answer = self._client.get_object(Bucket=self.name, Key=key, **condition)  # type: ignore[arg-type]
                size = answer.get("ContentLength", MAX_BYTES + 1)
                if size > MAX_BYTES:
                    raise DatasetError(
                        f"s3://{self.name}/{key} has {size:,} bytes; the limit is {MAX_BYTES:,}"
                    )
                # Without an amount: only then does botocore notice a body that ends early.
                data = answer["Body"].read()
                return fetched(data, answer["ETag"].strip('"'), version)
            except ClientError as error:
                if condition and error.response["Error"]["Code"] in _CHANGED:
                    condition = {}
                    continue
                raise self._failure(error, key) from error
            except BotoCoreError as error:  # a body that broke off; botocore repeats requests, not bodies
                if attempt == 2:
                    raise self._failure(error, key) from error
        raise Unavailable(f"s3://{self.name}/{key} changes while it is read")

    def copy_to(self, key: str, file: IO[bytes]) -> None:
        """The whole object into an open file, in blocks."""
        try:
            body = self._client.get_object(Bucket=self.name, Key=key)["Body"]
            for block in body.iter_chunks(2**20):
                file.write(block)
        except (ClientError, BotoCoreError) as error:
            raise self._failure(error, key) from error

    def _failure(self, error: Exception, key: str) -> DatasetError:
        place = f"s3://{self.name}/{key}"
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in _FINAL:
                return DatasetError(f"cannot read {place}: {_FINAL[code]}")
            if code == "RequestTimeTooSkewed":
                return Unavailable(f"cannot read {place}: this machine's clock is wrong")
            if (
                400 <= status < 500
                and status not in (408, 409, 429)
                and code not in ("RequestTimeout", "SlowDown")
            ):
                return DatasetError(f"cannot read {place}: {code or status}")
            return Unavailable(f"cannot read {place} now: {code or status}")
        if isinstance(error, NoCredentialsError):
            return DatasetError(f"no credentials for {place}; set GFI_DATASET_S3_ACCESS_KEY and …_SECRET_KEY")
        if isinstance(error, ParamValidationError):
            return DatasetError(f"{place} is not a place in S3: {' '.join(str(error).split())}")
        return Unavailable(f"cannot read {place} now: {' '.join(str(error).split())}")


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
            max_pool_connections=32,
            retries={"mode": "standard", "max_attempts": 4},
            s3={"addressing_style": addressing},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
        ),
    )


def split(place: str) -> tuple[str, str]:
    """s3://bucket/key → (bucket, key); DatasetError without a bucket."""
    bucket, _, key = place.removeprefix("s3://").partition("/")
    if not bucket:
        raise DatasetError(f"{place!r} names no bucket; expected s3://bucket/prefix")
    return bucket, key


class Objects:
    """kind: `s3`. labelled: the first folder below the prefix is the label; None: look, as for folders."""

    kind = "s3"

    def __init__(self, place: str, settings: Settings, labelled: bool | None = None):
        name, key = split(place)
        self._prefix = key if not key or key.endswith("/") else key + "/"
        self._bucket = Reader(name, settings)
        self._place = f"s3://{name}/{self._prefix}"
        self._labelled = self._looks_labelled() if labelled is None else labelled
        self.spec = ("classes:" if self._labelled else "folder:") + self._place

    def describe(self) -> str:
        return f"{'class folders in ' if self._labelled else ''}{self._place}"

    def list(self) -> Iterator[Listed]:
        return or_empty(self._list(), self._place)

    def _list(self) -> Iterator[Listed]:
        for page in self._bucket.pages(self._prefix):
            for item in page.get("Contents", ()):
                key = item["Key"][len(self._prefix) :]
                folders, _, base = key.rpartition("/")
                if is_image(base) and not any(part.startswith(".") for part in folders.split("/")):
                    label = key.partition("/")[0] if self._labelled and folders else None
                    yield Listed(key, item["Size"], item["ETag"].strip('"'), label)

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        return self._bucket.read(self._prefix + key, version)

    def _looks_labelled(self) -> bool:
        """By the first page: no image right below the prefix, but folders."""
        page: dict[str, Any] = next(self._bucket.pages(self._prefix, Delimiter="/"), {})
        images = any(is_image(item["Key"].rpartition("/")[2]) for item in page.get("Contents", ()))
        return bool(page.get("CommonPrefixes")) and not images

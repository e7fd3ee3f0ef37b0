"""The bucket of the results: manifests, parts, pictures.

    bucket = Bucket.from_settings(settings)
    sha = bucket.put("jobs/x/job.json", data, content_type="application/json")

An error that remains after the client's own retries is raised as `Transient` where waiting may help and as `StoreError`
where it does not. A put with `If-None-Match: *` never overwrites: 412 means that the object exists, 409 that another
writer is storing it now and that the request is to be repeated.
"""

import base64
import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from botocore.exceptions import BotoCoreError, ClientError

from gfi.store.errors import NotFound, StoreError, Transient
from gfi.store.s3_client import ABSENT, PRECONDITION, error_code, explain, results_client
from gfi.store.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DELETE_AT_ONCE = 1000  # the limit of S3 for one request
_CONFLICTS = 5

_BUSY = {"ConditionalRequestConflict", "409"}
_UNCONDITIONAL = {"NotImplemented"}  # a store that does not know If-None-Match


class Exists(StoreError):
    """A put with `if_none_match`, and the object exists already."""


@dataclass(frozen=True)
class Object:
    """An object as a listing shows it. `modified`: epoch seconds of the bucket's clock."""

    key: str
    size: int
    modified: float
    etag: str = ""


@dataclass(frozen=True)
class Streamed:
    """The bytes of an object. length: their number. range: which they are (`bytes 0-9/100`); None for all."""

    length: int
    range: str | None
    chunks: Iterator[bytes]


class Bucket:
    """One bucket of one S3 store. Thread-safe; one per process is enough."""

    def __init__(self, client: "S3Client", name: str, place: str, *, checksums: bool = True) -> None:
        self.client = client
        self.name = name
        self.place = place  # for messages
        self._checksums = checksums

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The bucket that results are written to. Connects on first use."""
        settings.require_stack()
        assert settings.s3_bucket is not None
        client = results_client(settings)
        place = f"{settings.s3_endpoint or 's3:/'}/{settings.s3_bucket}"
        return cls(client, settings.s3_bucket, place, checksums=settings.s3_checksums == "when_supported")

    def ensure(self) -> None:
        """Create the bucket unless it exists."""
        try:
            self.client.head_bucket(Bucket=self.name)
            return
        except ClientError as error:
            if error_code(error) not in ABSENT | {"NoSuchBucket"}:
                self._fail(error, "")
        except BotoCoreError as error:
            self._fail(error, "")
        try:
            self.client.create_bucket(Bucket=self.name)
        except (ClientError, BotoCoreError) as error:
            if error_code(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                self._fail(error, "")

    def put(
        self,
        key: str,
        data: bytes | Path,
        content_type: str = "application/octet-stream",
        *,
        if_none_match: bool = False,
    ) -> str:
        """Store bytes, or the file at a path, under `key`. Returns their SHA-256 (hex).

        The store checks the SHA-256 of the body, so a body damaged in transit is refused (with
        `s3_checksums = when_required` the SHA-256 is sent only as part of the signature).
        `if_none_match`: raise Exists instead of overwriting.
        """
        extra: dict[str, Any] = {"IfNoneMatch": "*"} if if_none_match else {}
        digest = _sha256(data)
        if self._checksums:
            extra["ChecksumSHA256"] = base64.b64encode(digest).decode()
        for attempt in range(_CONFLICTS):
            try:
                if isinstance(data, Path):
                    with data.open("rb") as file:
                        self.client.put_object(
                            Bucket=self.name, Key=key, Body=file, ContentType=content_type, **extra
                        )
                else:
                    self.client.put_object(
                        Bucket=self.name, Key=key, Body=data, ContentType=content_type, **extra
                    )
                return digest.hex()
            except (ClientError, BotoCoreError) as error:
                if error_code(error) in _BUSY and attempt < _CONFLICTS - 1:
                    time.sleep(0.1 * 2**attempt)
                    continue
                unconditional = if_none_match and error_code(error) in _UNCONDITIONAL
                if unconditional and self.head(key) is None:
                    # Without the condition, a put by another writer at this moment would be overwritten.
                    return self.put(key, data, content_type)
                if unconditional or error_code(error) in PRECONDITION:
                    raise Exists(f"{self.place}/{key} exists already") from None
                self._fail(error, key)
        raise AssertionError("unreachable")

    def get(self, key: str) -> bytes:
        """The bytes under `key`; NotFound when there are none."""
        try:
            return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            self._fail(error, key)

    def stream(self, key: str, byte_range: str | None = None) -> "Streamed":
        """An object, or the bytes of it that a header `Range` names, a megabyte at a time. Raises NotFound, or
        StoreError for a range that it does not have; and as `get` while the bytes arrive."""
        asked: dict[str, Any] = {"Range": byte_range} if byte_range is not None else {}
        try:
            answer = self.client.get_object(Bucket=self.name, Key=key, **asked)
        except (ClientError, BotoCoreError) as error:
            self._fail(error, key)
        return Streamed(
            answer["ContentLength"], answer.get("ContentRange"), self._chunks(answer["Body"], key)
        )

    def _chunks(self, body: Any, key: str) -> Iterator[bytes]:
        """The bytes as they arrive. A body that ends early is an error of the store, as a refused request is."""
        try:
            yield from body.iter_chunks(1 << 20)
        except (ClientError, BotoCoreError) as error:
            self._fail(error, key)

    def get_to(self, key: str, path: Path) -> None:
        """Download into a file, completely or not at all. Raises NotFound if there is no such object."""
        unfinished = path.with_name(path.name + ".part.tmp")
        try:
            body = self.client.get_object(Bucket=self.name, Key=key)["Body"]
            with unfinished.open("wb") as file:
                for chunk in body.iter_chunks(1 << 20):
                    file.write(chunk)
            unfinished.replace(path)
        except (ClientError, BotoCoreError) as error:
            self._fail(error, key)
        finally:
            unfinished.unlink(missing_ok=True)

    def head(self, key: str) -> Object | None:
        """Size and time of modification of an object; None when there is none."""
        try:
            answer = self.client.head_object(Bucket=self.name, Key=key)
        except (ClientError, BotoCoreError) as error:
            if error_code(error) in ABSENT:
                return None
            self._fail(error, key)
        return Object(key, answer["ContentLength"], answer["LastModified"].timestamp(), answer["ETag"])

    def list(self, prefix: str) -> Iterator[Object]:
        """Every object under a prefix, in key order, a page at a time."""
        try:
            for page in self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix
            ):
                for entry in page.get("Contents", ()):
                    yield Object(
                        entry["Key"], entry["Size"], entry["LastModified"].timestamp(), entry["ETag"]
                    )
        except (ClientError, BotoCoreError) as error:
            self._fail(error, prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders directly below a prefix that ends with a slash, in order, a page at a time."""
        try:
            for page in self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix, Delimiter="/"
            ):
                for entry in page.get("CommonPrefixes", ()):
                    yield entry["Prefix"].removeprefix(prefix).removesuffix("/")
        except (ClientError, BotoCoreError) as error:
            self._fail(error, prefix)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Delete objects, a thousand per request. Returns their number, including those that did not exist.

        Raises StoreError where the store refuses some (it may lock objects), after the others have been deleted.
        """
        deleted, batch, refused = 0, [], list_[str]()
        for key in keys:
            batch.append(key)
            if len(batch) == _DELETE_AT_ONCE:
                refused += self._delete(batch)
                deleted, batch = deleted + len(batch), []
        refused += self._delete(batch)
        deleted += len(batch)
        if refused:
            raise StoreError(
                f"{len(refused)} of {deleted} objects could not be deleted, the first: {self.place}/{refused[0]}"
            )
        return deleted

    def _delete(self, keys: "list_[str]") -> "list_[str]":
        """What was refused: keys with the store's reason."""
        if not keys:
            return []
        try:
            answer = self.client.delete_objects(
                Bucket=self.name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        except (ClientError, BotoCoreError) as error:
            self._fail(error, keys[0])
        return [f"{refused.get('Key')} ({refused.get('Code')})" for refused in answer.get("Errors", ())]

    def clock_skew(self) -> float:
        """How many seconds the clock of this machine is ahead of the bucket's (±1 s)."""
        try:
            answer: Any = self.client.head_bucket(Bucket=self.name)
        except ClientError as error:
            answer = error.response
        except BotoCoreError as error:
            self._fail(error, "")
        date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        return time.time() - parsedate_to_datetime(date).timestamp() if date else 0.0

    def _fail(self, error: ClientError | BotoCoreError, key: str) -> NoReturn:
        where = f"{self.place}/{key}" if key else self.place
        failure = explain(error, "GFI_S3")
        kinds = {"absent": NotFound, "final": StoreError, "transient": Transient, "clock": StoreError}
        raise kinds[failure.kind](f"{where}: {failure.message}") from None


list_ = list  # inside the class, `list` is the method


def _sha256(data: bytes | Path) -> bytes:
    if isinstance(data, Path):
        with data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    return hashlib.sha256(data).digest()

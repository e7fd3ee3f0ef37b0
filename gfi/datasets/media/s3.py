"""Photographs in an S3 bucket: `s3://bucket/prefix`.

The prefix is a folder: `s3://b/cats` lists what starts with `cats/`. Keys are relative to it. The version
of an object is its ETag; it is read with `If-Match`, so that what was listed is what is explained. An
object that changed since is read as it is now and says `changed`.

The store and its credentials are `dataset_s3_*` of the settings, where these are not set `s3_*`. A listing
streams in pages of 1,000 in the store's order (UTF-8 bytes; the same as ours); it holds one page.
"""

from collections.abc import Iterator
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.listing import MAX_BYTES, Fetched, Listed, fetched, is_image, or_empty
from gfi.store.s3_client import PRECONDITION, datasets_client, error_code, explain
from gfi.store.settings import Settings


class Reader:
    """Listing and reading, with our errors. One per bucket and process; thread-safe."""

    def __init__(self, name: str, settings: Settings):
        if settings.dataset_buckets and name not in settings.dataset_buckets:
            allowed = ", ".join(settings.dataset_buckets)
            raise DatasetError(
                f"s3://{name} is not among the dataset buckets ({allowed}); see GFI_DATASET_BUCKETS"
            )
        self.name = name
        self._client = datasets_client(settings)

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
                if condition and error_code(error) in PRECONDITION:
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

    def _failure(self, error: ClientError | BotoCoreError, key: str) -> DatasetError:
        failure = explain(error, "GFI_DATASET_S3")
        place = f"s3://{self.name}/{key}"
        if failure.kind in ("transient", "clock"):
            return Unavailable(f"cannot read {place} now: {failure.message}")
        return DatasetError(f"cannot read {place}: {failure.message}")


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

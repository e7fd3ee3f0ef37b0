"""Photographs in an S3 bucket: `s3://bucket/prefix`.

The prefix is a folder: `s3://b/cats` lists what starts with `cats/`. Keys are relative to it. The version
of an object is its ETag; it is read with `If-Match`, so that the listed object is the one that is explained. An object
that has changed since is read in its present version and marked as `changed`.

The store and its credentials are `dataset_s3_*` of the settings, where these are not set `s3_*`. A listing
streams in pages of 1,000 in the store's order (UTF-8 bytes; the same as ours); it holds one page.
"""

from collections.abc import Iterator, Sequence
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from gfi.datasets.class_folders import class_label, say_splits, split_folders
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.file_kinds import Selection, is_other_image, kind_of, worth_a_word
from gfi.datasets.listing import MAX_BYTES, Fetched, Listed, fetched, or_empty, with_options
from gfi.datasets.notes import ListingNotes
from gfi.store.s3_client import PRECONDITION, datasets_client, error_code, explain
from gfi.store.settings import Settings


def _same_store(settings: Settings) -> bool:
    """Whether datasets are read from the store of the results."""
    return settings.dataset_s3_endpoint in (None, settings.s3_endpoint)


class Reader:
    """Lists and reads objects, and raises the errors of this package. One per bucket and process; thread-safe."""

    def __init__(self, name: str, settings: Settings, *, results: bool = False):
        """results: allow the bucket of results, which is not a dataset but holds uploads."""
        if name == settings.s3_bucket and not results and _same_store(settings):
            raise DatasetError(
                f"s3://{name} is the bucket of results (GFI_S3_BUCKET), not a dataset; keep photographs in "
                "another bucket"
            )
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
                # Called without an amount, because only then does botocore detect a body that ends early.
                data = answer["Body"].read()
                return fetched(data, answer["ETag"].strip('"'), version)
            except ClientError as error:
                if condition and error_code(error) in PRECONDITION:
                    condition = {}
                    continue
                raise self._failure(error, key) from error
            except BotoCoreError as error:  # a body that was cut off; botocore repeats requests, not bodies
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
    """kind: `s3`. labelled: the first folder below the prefix is the label; None: decided as for folders.

    The first bytes of objects without a suffix are not examined, which would take one request each; `?suffixes=none`
    reads such objects.
    """

    kind = "s3"

    def __init__(
        self,
        place: str,
        settings: Settings,
        labelled: bool | None = None,
        selection: Selection | None = None,
        split_folder: str | None = None,
        *,
        results: bool = False,
    ):
        name, key = split(place)
        self._prefix = key if not key or key.endswith("/") else key + "/"
        self._bucket = Reader(name, settings, results=results)
        self._place = f"s3://{name}/{self._prefix}"
        self._selection = selection or Selection()
        self._split = split_folder
        self._labelled = self._looks_labelled() if labelled is None else labelled
        if split_folder is not None and split_folder not in self._splits():
            known = ", ".join(sorted(self._splits())) or "none"
            raise DatasetError(f"{self._place} has no split folder {split_folder!r}; it has {known}")
        prefix = "classes:" if self._labelled else "folder:"
        self.spec = with_options(prefix + self._place, **self._selection.option(), split=split_folder)

    def describe(self) -> str:
        return f"{'class folders in ' if self._labelled else ''}{self._place}"

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        notes = ListingNotes() if notes is None else notes
        return or_empty(self._list(notes), self._place, notes)

    def _list(self, notes: ListingNotes) -> Iterator[Listed]:
        splits = self._splits() if self._labelled else frozenset[str]()
        say_splits(notes, splits, self._split)
        for page in self._bucket.pages(self._prefix + (f"{self._split}/" if self._split else "")):
            for item in page.get("Contents", ()):
                key = item["Key"][len(self._prefix) :]
                reason = self._left_out(key)
                if reason is None:
                    label = class_label(key, splits, notes) if self._labelled else None
                    yield Listed(key, item["Size"], item["ETag"].strip('"'), label)
                elif reason and worth_a_word(key.rpartition("/")[2]):
                    notes.skip(reason, key)

    def _left_out(self, key: str) -> str | None:
        """Why an object is left out; None if it is listed; "" if it is left out without a note."""
        folders, _, name = key.rpartition("/")
        if not name:  # the marker of a folder
            return ""
        wanted = self._selection.reads(name)
        if name.startswith(".") or any(part.startswith(".") for part in folders.split("/")):
            return "hidden" if wanted else ""
        return None if wanted else kind_of(name)

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        return self._bucket.read(self._prefix + key, version)

    def _top(self) -> tuple[Sequence[str], Sequence[str]]:
        """The names of folders and of objects directly below the prefix, from the first page of the listing."""
        page: dict[str, Any] = next(self._bucket.pages(self._prefix, Delimiter="/"), {})
        folders = [item["Prefix"][len(self._prefix) :].rstrip("/") for item in page.get("CommonPrefixes", ())]
        return folders, [item["Key"].rpartition("/")[2] for item in page.get("Contents", ())]

    def _splits(self) -> frozenset[str]:
        return split_folders(self._top()[0])

    def _looks_labelled(self) -> bool:
        """Whether there are folders but no image directly below the prefix."""
        folders, names = self._top()
        names = [name for name in names if not name.startswith(".")]
        if any(self._selection.reads(name) or is_other_image(name) for name in names):
            return False
        beside = {"labels", "annotations", "masks"} & set(folders)
        if beside and any(folder == "images" or folder in split_folders(folders) for folder in folders):
            raise DatasetError(
                f"{self._place} has a folder {min(beside)}/ next to its images, as COCO and YOLO datasets have; "
                f"this layout is not supported. `folder:{self._place}` reads its photographs without labels"
            )
        return bool(folders) and set(folders) != {"images"}

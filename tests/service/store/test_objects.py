"""The bucket, on a real S3 server."""

import base64
import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ResponseStreamingError

from gfi.cli.servers import Server, free_port
from gfi.store.errors import NotFound, StoreError, Transient
from gfi.store.object_file import ObjectFile
from gfi.store.objects import Bucket, Exists
from gfi.store.settings import Settings
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY


def settings_for(url: str, **changes: object) -> Settings:
    values = {
        "database_url": "sqlite:///unused.db",
        "redis_url": "redis://unused",
        "s3_endpoint": url,
        "s3_bucket": "store-tests",
        "s3_access_key": S3_ACCESS_KEY,
        "s3_secret_key": S3_SECRET_KEY,
        "listing_mib": 0,  # a child process takes half a second; test_listing_writer and test_planning have one
    }
    return Settings(**values | changes)  # type: ignore[arg-type]


@pytest.fixture
def bucket(s3: Server) -> Iterator[Bucket]:
    made = Bucket.from_settings(settings_for(s3.url))
    made.ensure()
    made.ensure()
    yield made
    made.delete_many([entry.key for entry in made.list("")])


def test_bytes_and_files_come_back_as_they_went(bucket: Bucket, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 40_000)  # larger than one multipart chunk
    for key, data in (("small", b"hello"), ("empty", b""), ("a/b c/ü.bin", b"\x00\xff"), ("big", big)):
        content = data.read_bytes() if isinstance(data, Path) else data
        assert bucket.put(key, data) == hashlib.sha256(content).hexdigest()
        assert bucket.get(key) == content
        bucket.get_to(key, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
        head = bucket.head(key)
        assert head is not None
        assert head.size == len(content)
        assert abs(head.modified - time.time()) < 60
    assert list(tmp_path.glob("*.tmp")) == []


def test_what_is_not_there_is_said_in_one_line(bucket: Bucket, tmp_path: Path) -> None:
    assert bucket.head("nothing") is None
    for read in (lambda: bucket.get("nothing"), lambda: bucket.get_to("nothing", tmp_path / "x")):
        with pytest.raises(NotFound, match="store-tests/nothing: there is no such object"):
            read()
    assert not (tmp_path / "x").exists()


def test_only_one_of_many_conditional_writers_wins(bucket: Bucket) -> None:
    def write(number: int) -> bool:
        try:
            bucket.put("once", str(number).encode(), if_none_match=True)
        except Exists:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(write, range(6)))
    assert sum(won) == 1
    assert bucket.get("once") == str(won.index(True)).encode()


def test_where_the_store_knows_no_condition_what_is_there_is_kept_all_the_same(bucket: Bucket) -> None:
    def refuse(request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        """The answers of stores that support only a part of S3."""
        if "If-None-Match" not in request.headers:
            return None
        said = b"<Error><Code>NotImplemented</Code><Message>A header you provided</Message></Error>"
        return AWSResponse(request.url, 501, {}, SimpleNamespace(stream=lambda **_: iter([said])))

    bucket.client.meta.events.register("before-send.s3.PutObject", refuse)
    bucket.put("kept", b"first", if_none_match=True)
    with pytest.raises(Exists):
        bucket.put("kept", b"second", if_none_match=True)
    assert bucket.get("kept") == b"first"


def test_a_body_damaged_on_the_way_is_refused(bucket: Bucket) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    with pytest.raises(bucket.client.exceptions.ClientError, match="did not match"):
        bucket.client.put_object(Bucket=bucket.name, Key="x", Body=b"this", ChecksumSHA256=wrong)
    assert bucket.head("x") is None


def test_long_listings_are_paged_and_deleted_by_the_thousand(bucket: Bucket) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: bucket.put(f"many/{n:04}", b""), range(1030)))
    bucket.put("manyother", b"")
    keys = [entry.key for entry in bucket.list("many/")]
    assert keys == [f"many/{n:04}" for n in range(1030)]
    assert bucket.delete_many(iter(keys)) == 1030
    assert [entry.key for entry in bucket.list("many")] == ["manyother"]
    assert bucket.delete_many(["many/0001"]) == 1  # gone already


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"s3_access_key": "nobody"}, "the access key is unknown; see GFI_S3_ACCESS_KEY"),
        ({"s3_secret_key": "wrong-secret"}, "the secret key is wrong; see GFI_S3_SECRET_KEY"),
        ({"s3_bucket": "no-such-bucket"}, "there is no such bucket"),
        ({"s3_bucket": "Not A Bucket"}, "Not A Bucket"),
    ],
)
def test_a_wrong_setting_is_named(s3: Server, changes: dict[str, str], advice: str) -> None:
    bucket = Bucket.from_settings(settings_for(s3.url, **changes))
    for call in (lambda: bucket.get("x"), lambda: bucket.put("x", b""), lambda: list(bucket.list(""))):
        with pytest.raises(StoreError, match=advice) as caught:
            call()
        assert not isinstance(caught.value, Transient)
        assert "secret" not in str(caught.value).replace("secret key", "").replace("SECRET_KEY", "")


def test_a_server_that_is_away_is_transient(bucket: Bucket) -> None:
    gone = Bucket.from_settings(settings_for(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(Transient, match="is not answering"):
        gone.head("x")


def test_a_wrong_clock_is_named_as_the_reason(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert abs(bucket.clock_skew()) < 2.0

    def an_hour_ahead(remove_tzinfo: bool = True) -> datetime:
        shifted = datetime.now(UTC) + timedelta(hours=1)
        return shifted.replace(tzinfo=None) if remove_tzinfo else shifted

    monkeypatch.setattr(botocore.auth, "get_current_datetime", an_hour_ahead)
    with pytest.raises(StoreError, match="refuses this machine's clock"):
        bucket.put("x", b"")


def test_stores_that_refuse_checksums_are_served_without(s3: Server) -> None:
    plain = Bucket.from_settings(settings_for(s3.url, s3_checksums="when_required", s3_addressing="path"))
    plain.ensure()
    plain.put("x", b"hello")
    assert plain.get("x") == b"hello"
    plain.delete_many(["x"])


def test_a_body_that_ends_early_is_an_error_of_the_store(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was botocore's own, which callers do not know: the API answered 500, and no attempt followed."""
    bucket.put("cut", b"0123456789")
    get = bucket.client.get_object

    def cut(**asked: Any) -> Any:
        answer = get(**asked)
        whole = answer["Body"]

        def chunks(_: int) -> Iterator[bytes]:
            yield whole.read(4)
            raise ResponseStreamingError(error="connection reset")

        return {**answer, "Body": SimpleNamespace(iter_chunks=chunks)}

    monkeypatch.setattr(
        bucket, "client", SimpleNamespace(get_object=cut, head_object=bucket.client.head_object)
    )
    with pytest.raises(Transient, match="cut: the store is not answering"):
        list(bucket.stream("cut").chunks)
    with pytest.raises(Transient), ObjectFile(bucket, "cut") as file:
        file.read()

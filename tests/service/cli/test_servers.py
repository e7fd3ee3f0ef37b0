"""The embedded servers: on this machine only, durable, and never two over the same data."""

import socket
from pathlib import Path

import boto3
import psutil
import pytest
import redis

from gfi.cli.servers import GRPC_OFFSET, ServerError, free_port, start_s3, start_valkey


def _client(url: str, access: str = "key-for-tests", secret: str = "secret-for-tests"):
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        region_name="us-east-1",
    )


def test_a_killed_valkey_continues_with_its_data_and_its_orphan_is_ended(tmp_path: Path) -> None:
    first = start_valkey(tmp_path, free_port())
    redis.Redis(port=first.port).set("x", "1")
    # Its supervisor was killed; the next start finds the orphan by its pid file.
    second = start_valkey(tmp_path, free_port())
    try:
        assert first.process.wait(5) is not None
        assert redis.Redis(port=second.port).get("x") == b"1"
        assert (
            redis.Redis(port=second.port).config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        )
    finally:
        second.stop()
    assert not second.alive()
    assert not (tmp_path / "valkey.pid").exists()


def test_a_process_with_the_number_of_an_ended_server_is_left_alone(tmp_path: Path) -> None:
    other = psutil.Process()
    (tmp_path / "valkey.pid").write_text(f'{{"pid": {other.pid}, "started": 1.0}}')
    start_valkey(tmp_path, free_port()).kill()
    assert other.is_running()


def test_a_killed_s3_continues_with_its_data_for_those_who_have_its_keys(tmp_path: Path) -> None:
    server = start_s3(tmp_path, free_port(), "key-for-tests", "secret-for-tests")
    try:
        _client(server.url).create_bucket(Bucket="bucket")
        _client(server.url).put_object(Bucket="bucket", Key="x", Body=b"1")
        with pytest.raises(Exception, match="SignatureDoesNotMatch"):
            _client(server.url, secret="another-secret").list_buckets()
        with pytest.raises(Exception, match="NoSuchBucket"):
            _client(server.url).put_object(Bucket="buckett", Key="x", Body=b"1")
        arguments = " ".join(psutil.Process(server.pid).cmdline())
        assert "secret-for-tests" not in arguments
        # Every listener is on one of its ports, or that port + 10000, and none is reachable from other machines.
        listening = [c.laddr for c in psutil.Process(server.pid).net_connections() if c.status == "LISTEN"]
        assert {address.ip for address in listening} == {"127.0.0.1"}
        server.kill()
        server = start_s3(tmp_path, free_port(), "key-for-tests", "secret-for-tests")
        assert _client(server.url).get_object(Bucket="bucket", Key="x")["Body"].read() == b"1"
    finally:
        server.kill()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerError, match=r"valkey ended at once(.|\n)*in use"):
            start_valkey(tmp_path, taken.getsockname()[1])


def test_the_port_for_grpc_is_free_too() -> None:
    port = free_port()
    for number in (port, port + GRPC_OFFSET):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", number))

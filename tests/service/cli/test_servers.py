"""The embedded servers: on this machine only, durable, and never two over the same data."""

import socket
import subprocess
import sys
from pathlib import Path

import boto3
import psutil
import pytest
import redis

from gfi.cli.children import popen
from gfi.cli.servers import GRPC_OFFSET, ServerError, free_port, start_s3, start_valkey


def _keys(url: str, access: str = "key-for-tests", secret: str = "secret-for-tests"):
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
    # Its supervisor is killed and forgets it; the next start finds the orphan by its pid file.
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


def test_a_pid_file_of_another_process_ends_nobody(tmp_path: Path) -> None:
    innocent = psutil.Process()
    (tmp_path / "valkey.pid").write_text(f'{{"pid": {innocent.pid}, "started": 1.0}}')
    start_valkey(tmp_path, free_port()).kill()
    assert innocent.is_running()


def test_a_killed_s3_continues_with_its_data_for_whoever_has_the_keys(tmp_path: Path) -> None:
    server = start_s3(tmp_path, free_port(), "key-for-tests", "secret-for-tests")
    try:
        _keys(server.url).create_bucket(Bucket="bucket")
        _keys(server.url).put_object(Bucket="bucket", Key="x", Body=b"1")
        with pytest.raises(Exception, match="SignatureDoesNotMatch"):
            _keys(server.url, secret="another-secret").list_buckets()
        with pytest.raises(Exception, match="NoSuchBucket"):
            _keys(server.url).put_object(Bucket="buckett", Key="x", Body=b"1")
        arguments = " ".join(psutil.Process(server.pid).cmdline())
        assert "secret-for-tests" not in arguments
        # One listener of all its ports and theirs + 10000, none beyond this machine.
        listening = [c.laddr for c in psutil.Process(server.pid).net_connections() if c.status == "LISTEN"]
        assert {address.ip for address in listening} == {"127.0.0.1"}
        server.kill()
        server = start_s3(tmp_path, free_port(), "key-for-tests", "secret-for-tests")
        assert _keys(server.url).get_object(Bucket="bucket", Key="x")["Body"].read() == b"1"
    finally:
        server.kill()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerError, match=r"valkey ended at once(.|\n)*in use"):
            start_valkey(tmp_path, taken.getsockname()[1])


def test_a_free_port_leaves_room_for_grpc() -> None:
    port = free_port()
    for number in (port, port + GRPC_OFFSET):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", number))


def test_a_process_outlives_the_thread_that_started_it_but_not_the_process() -> None:
    program = (
        "import threading, time; from gfi.cli.children import popen; born = []\n"
        "starter = threading.Thread(target=lambda: born.append(popen(['sleep', '60'])))\n"
        "starter.start(); starter.join(); time.sleep(0.2)\n"
        "print(born[0].pid if born[0].poll() is None else 0, flush=True); time.sleep(60)"
    )
    starter = popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    child = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    assert psutil.wait_procs([child], timeout=5)[1] == []

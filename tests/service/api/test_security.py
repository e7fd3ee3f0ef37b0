"""What an attacker tries, tried: tokens, traversal, bombs, large bodies, header injection, CSRF, SSRF, leaks."""

import io
import json
import os
import socket
import struct
import tarfile
import time
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient

from gfi.api import create_app, uploads, webhook_addresses, webhook_delivery
from gfi.api.config import ApiSettings
from gfi.cli.servers import Server
from gfi.datasets.errors import DatasetError
from gfi.datasets.sources import open_source
from gfi.store import ledger
from gfi.store.access import create_link
from gfi.store.settings import Settings
from tests.service.api.conftest import World


def test_without_a_token_nothing_but_health_answers(one_world: World) -> None:
    client = one_world.client
    assert client.get("/livez").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True), ready.text
    paths = create_app().openapi()["paths"]
    for path, operations in paths.items():
        for method in operations:
            if path in ("/livez", "/readyz"):
                continue
            answer = client.request(method, path.replace("{job_id}", "x").replace("{row}", "0"))
            assert answer.status_code == 401, (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")
    # Not even what does not exist, and not even a body that is wrong.
    assert client.get("/v1/nothing").status_code == 401
    assert client.post("/v1/jobs", content=b"{").status_code == 401
    assert client.get("/v1/openapi.json").status_code == 401
    for header in ("Bearer gfi_wrong", "Basic YTpi", "Bearer", "Bearer  ", "bearer \x80"):
        assert client.get("/v1/jobs", headers={"Authorization": header.encode("latin-1")}).status_code == 401


def test_every_error_is_a_problem_with_advice(one_world: World) -> None:
    call = one_world.call
    answers = [
        call("GET", "/v1/jobs/none"),
        call("GET", "/v1/nothing"),
        call("PATCH", "/v1/jobs"),
        call("POST", "/v1/jobs", json={"dataset": 5, "colour": "red"}),
        call("POST", "/v1/jobs", content=b"{", headers={"Content-Type": "application/json"}),
        call("POST", "/v1/jobs", content=b'{"dataset": NaN}', headers={"Content-Type": "application/json"}),
        call("POST", "/v1/jobs", content=b"[" * 100_000, headers={"Content-Type": "application/json"}),
        call("GET", "/v1/jobs?after=%00"),
        call("POST", "/v1/uploads", content=b"x"),
    ]
    assert [each.status_code for each in answers] == [404, 404, 405, 422, 422, 400, 400, 422, 415]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["title"]
        assert problem["detail"]
        assert problem["advice"]
    assert answers[2].headers["allow"] == "GET, POST"
    assert {each["at"] for each in answers[3].json()["errors"]} == {"body.dataset", "body.colour"}


def test_scopes_contain_each_other_and_no_more(one_world: World) -> None:
    assert one_world.submit("read").status_code == 403
    assert one_world.submit("submit").status_code == 201
    assert one_world.call("GET", "/v1/tokens", "submit").status_code == 403
    assert one_world.call("POST", "/v1/models", "submit", json={"reference": "x"}).status_code == 403
    assert one_world.call("GET", "/v1/audit", "admin").status_code == 200


def test_a_revoked_or_expired_token_is_worth_nothing(one_world: World) -> None:
    made = one_world.call("POST", "/v1/tokens", json={"name": "brief", "scopes": ["read"]}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert one_world.client.get("/v1/me", headers=headers).json()["name"] == "brief"
    again = one_world.call("POST", "/v1/tokens", json={"name": "brief", "scopes": ["read"]})
    assert again.status_code == 409  # names own jobs
    assert one_world.call("DELETE", f"/v1/tokens/{made['id']}").status_code == 204
    assert one_world.client.get("/v1/me", headers=headers).status_code == 401
    _, expired = ledger.create_token(one_world.database, "old", ["read"], expires_in_s=-1.0)
    assert one_world.client.get("/v1/me", headers={"Authorization": f"Bearer {expired}"}).status_code == 401


@pytest.mark.parametrize("way", ["../", "absolute", "encoded", "symlink", "NUL", "scheme"])
def test_no_path_leads_out_of_the_roots(one_world: World, way: str) -> None:
    outside = one_world.photographs.parents[1] / "secret"
    outside.mkdir(exist_ok=True)
    (outside / "a.jpg").write_bytes((one_world.photographs / one_world.names[0]).read_bytes())
    link = one_world.photographs / "link"
    if way == "symlink":
        link.symlink_to(outside)
    inside = str(one_world.photographs)
    dataset = {
        "../": f"{inside}/../../secret",
        "absolute": str(outside),
        "encoded": f"{inside}/%2e%2e/%2e%2e/secret",
        "symlink": str(link),
        "NUL": f"{inside}\0/../../secret",
        "scheme": f"file://{outside}",
    }[way]
    assert one_world.submit(dataset=dataset).status_code == 422
    assert one_world.call("POST", "/v1/datasets/preview", json={"dataset": dataset}).status_code == 422
    keys = {
        "../": "../../secret/a.jpg", "absolute": str(outside / "a.jpg"), "encoded": "%2e%2e/%2e%2e/secret/a.jpg",
        "symlink": "link/a.jpg", "NUL": "a\0.jpg", "scheme": f"file://{outside}/a.jpg",
    }  # fmt: skip
    photo = one_world.call("GET", "/v1/datasets/photo", params={"dataset": inside, "key": keys[way]})
    assert photo.status_code in (404, 422), photo.text
    for path in ("/static/..%2f..%2fpages.py", "/static/%2e%2e/pages.py", "/static//etc/passwd"):
        assert one_world.client.get(path).status_code in (401, 404)
    listed = one_world.call("POST", "/v1/datasets/preview", json={"dataset": inside, "limit": 60})
    assert listed.status_code == (422 if way == "symlink" else 200)  # refused whole, not shown in part


@pytest.mark.parametrize(
    "name", ["../slip.jpg", "a/../../slip.jpg", "/etc/slip.jpg", "symlink", "hard link", "device", "FIFO"]
)
def test_a_tar_leads_nowhere(one_world: World, tmp_path: Path, name: str) -> None:
    (tmp_path / "slip.jpg").write_bytes(b"a secret")
    shard = one_world.photographs.parent / "shard.tar"
    good = (one_world.photographs / one_world.names[0]).read_bytes()
    kinds = {
        "symlink": (tarfile.SYMTYPE, str(tmp_path / "slip.jpg")), "hard link": (tarfile.LNKTYPE, "../../slip.jpg"),
        "device": (tarfile.CHRTYPE, ""), "FIFO": (tarfile.FIFOTYPE, ""),
    }  # fmt: skip
    with tarfile.open(shard, "w") as tar:
        plain = tarfile.TarInfo("good.jpg")
        plain.size = len(good)
        tar.addfile(plain, io.BytesIO(good))
        evil = tarfile.TarInfo("evil.jpg" if name in kinds else name)
        if name in kinds:
            evil.type, evil.linkname = kinds[name]
            tar.addfile(evil)
        else:
            evil.size = 8
            tar.addfile(evil, io.BytesIO(b"a secret"))
    dataset = str(shard)
    seen = one_world.call("POST", "/v1/datasets/preview", json={"dataset": dataset})
    if name in kinds:  # not a photograph: left out
        assert [each["key"] for each in seen.json()["items"]] == ["shard.tar/good.jpg"]
    else:  # refused whole
        assert seen.status_code == 422
        assert "leads out" in seen.json()["detail"]
    for key in (
        f"shard.tar/{evil.name}",
        "shard.tar/../../slip.jpg",
        f"shard.tar/{tmp_path}/slip.jpg",
        "slip.jpg",
    ):
        photo = one_world.call("GET", "/v1/datasets/photo", params={"dataset": dataset, "key": key})
        assert photo.status_code == 404, key
    one_world.submit(dataset=dataset)  # taken or not, its planner meets the same listing
    with pytest.raises(DatasetError) if name not in kinds else nullcontext():
        listed = [each.key for each in open_source(dataset, one_world.settings).list()]
        assert listed == ["shard.tar/good.jpg"]
    assert sorted(path.name for path in tmp_path.rglob("slip.jpg")) == ["slip.jpg"]  # nothing was unpacked


def test_registration_takes_a_reference_never_a_path_or_an_option(one_world: World) -> None:
    for reference in (
        "/tmp/x.toml", "../x", "file:/tmp/m.py:Net", "a/b", "--help", "x.toml/..", "", "torchvision:a b", "a\nb",
    ):  # fmt: skip
        answer = one_world.call("POST", "/v1/models", json={"reference": reference})
        assert answer.status_code == 422, reference


def _bomb() -> bytes:
    """A PNG of 30,000 × 30,000 pixels in a kilobyte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def test_uploads_become_an_interactive_job_and_bombs_do_not(
    one_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph = (one_world.photographs / one_world.names[0]).read_bytes()
    files = [("images", ("../../etc/passwd\u202e.jpg", photograph, "image/jpeg"))]
    sent = one_world.call("POST", "/v1/uploads", "submit", files=files, data={"model": "tiny"})
    assert sent.status_code == 201, sent.text
    job = sent.json()["job"]
    assert job["queue"] == "interactive"
    (kept,) = one_world.bucket.list(f"uploads/{job['dataset'].removeprefix('upload:')}/")
    assert "passwd" in kept.key
    assert ".." not in kept.key
    for data, word in (
        (_bomb(), "million"),
        (b"not a photograph", "image 1"),
        (photograph[:5000], "image 1"),
    ):
        answer = one_world.call(
            "POST", "/v1/uploads", files=[("images", ("x.png", data, "image/png"))], data={"model": "tiny"}
        )
        assert answer.status_code == 422
        assert word in answer.json()["detail"]
    unknown = one_world.call("POST", "/v1/uploads", files=files, data={"model": "tiny", "path": "/etc"})
    assert unknown.status_code == 422
    many = one_world.call("POST", "/v1/uploads", files=files * 40, data={"model": "tiny"})
    assert many.status_code in (413, 422)
    assert uploads.expire(one_world.bucket, 24.0) == 0
    monkeypatch.setattr(uploads, "EXPIRY_EVERY_S", 0.1)
    monkeypatch.setenv("GFI_API_UPLOAD_HOURS", "0.0001")
    end = time.monotonic() + 20
    with TestClient(create_app()):  # its janitor
        while one_world.bucket.head(kept.key) is not None:
            assert time.monotonic() < end, "the upload is still there"
            time.sleep(0.05)


def test_uploads_are_read_by_their_job_and_as_a_dataset_by_nobody(
    one_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GFI_DATASET_BUCKETS", "elsewhere")
    monkeypatch.setenv("GFI_DATASET_S3_ACCESS_KEY", "another store's")
    photograph = (one_world.photographs / one_world.names[0]).read_bytes()
    with TestClient(create_app()) as client:
        one_world.client, one_world.settings = client, Settings.load()
        files = [("images", ("a.jpg", photograph, "image/jpeg"))]
        sent = one_world.call("POST", "/v1/uploads", "submit", files=files, data={"model": "tiny"})
        assert sent.status_code == 201, sent.text
        job = sent.json()["job"]
        (listed,) = open_source(job["dataset"], one_world.settings).list()  # as a worker does
        assert open_source(job["dataset"], one_world.settings).fetch(listed.key).data == photograph
        place = f"s3://gfi-api/uploads/{job['dataset'].removeprefix('upload:')}"
        for spec in (job["dataset"], place, f"folder:{place}", "upload:../parts", "s3://gfi-api/parts"):
            assert one_world.submit(dataset=spec).status_code == 422, spec
            for path, body in (
                ("/v1/datasets/preview", {"dataset": spec}),
                ("/v1/datasets", {"name": "mine", "dataset": spec}),
                ("/v1/jobs/test", {"dataset": spec, "model": "tiny"}),
                ("/v1/jobs/estimate", {"dataset": spec, "model": "tiny"}),
                (
                    "/v1/schedules",
                    {"name": "x", "cron": "0 2 * * *", "job": {"dataset": spec, "model": "tiny"}},
                ),
            ):
                assert one_world.call("POST", path, "submit", json=body).status_code == 422, (path, spec)
            photo = {"dataset": spec, "key": listed.key}
            assert one_world.call("GET", "/v1/datasets/photo", params=photo).status_code == 422
        one_world.call("DELETE", f"/v1/jobs/{job['id']}", "submit")
        assert one_world.call("DELETE", f"/v1/jobs/{job['id']}/data", "submit").status_code == 200
        assert not list(one_world.bucket.list(place.partition("gfi-api/")[2]))


def test_a_test_explanation_takes_the_first_image(one_world: World) -> None:
    body = {"dataset": str(one_world.photographs), "model": "tiny"}
    job = one_world.call("POST", "/v1/jobs/test", "submit", json=body).json()["job"]
    assert (job["queue"], job["name"]) == ("interactive", "test")


def test_bodies_above_the_limit_are_refused_whether_they_say_so_or_not(one_world: World) -> None:
    large = b'{"dataset": "' + b"x" * 2_000_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    assert one_world.call("POST", "/v1/jobs", content=large, headers=headers).status_code == 413

    def chunks() -> Any:
        for at in range(0, len(large), 65536):
            yield large[at : at + 65536]

    assert one_world.call("POST", "/v1/jobs", content=chunks(), headers=headers).status_code == 413


def test_a_token_has_limits_of_its_own(one_world: World) -> None:
    limits = {"requests_per_minute": 3, "max_active_jobs": 1, "max_images": 5}
    made = one_world.call(
        "POST", "/v1/tokens", json={"name": "small", "scopes": ["submit"], "limits": limits}
    )
    one_world.tokens["small"] = made.json()["token"]
    refused = one_world.submit("small")
    assert (refused.status_code, "5 images" in refused.json()["detail"]) == (429, True)
    assert one_world.call("GET", "/v1/jobs", "small").status_code == 200
    assert one_world.call("GET", "/v1/jobs", "small").status_code == 200
    spent = one_world.call("GET", "/v1/jobs", "small")
    assert spent.status_code == 429
    assert int(spent.headers["retry-after"]) >= 1


def test_requests_are_counted_over_all_processes(
    one_world: World, monkeypatch: pytest.MonkeyPatch, valkey: Server
) -> None:
    limits = {"requests_per_minute": 4}  # one comes back every 15 s: slower than any test machine
    made = one_world.call(
        "POST", "/v1/tokens", json={"name": "shared", "scopes": ["read"], "limits": limits}
    ).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    with TestClient(create_app()) as other:
        clients = [one_world.client, other]
        statuses = [clients[at % 2].get("/v1/me", headers=headers).status_code for at in range(8)]
    assert statuses == [200] * 4 + [429] * 4
    with redis.Redis.from_url(valkey.url) as client:
        keys = [key for key in client.scan_iter() if made["id"] in key.decode()]
        assert keys
        assert all(0 < client.pttl(key) <= 120_000 for key in keys), "nothing stays behind"
    # Redis goes away: each process counts by itself, and nobody waits for it at every request.
    monkeypatch.setenv("GFI_REDIS_URL", "redis://127.0.0.1:1/0")
    with TestClient(create_app()) as alone:
        statuses = [alone.get("/v1/me", headers=headers).status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2


def test_no_header_can_be_injected(one_world: World) -> None:
    job = one_world.explained()
    for path in (
        f"/v1/jobs/{job}/results/0/photo.jpg?v=%0d%0aSet-Cookie:%20a=b",
        "/v1/jobs?search=%0d%0aX:y",
    ):
        answer = one_world.call("GET", path)
        assert answer.status_code == 422
        assert "set-cookie" not in answer.headers
    key = one_world.submit(headers={"Idempotency-Key": "a b\tc"})
    assert key.status_code == 422


def _sign_in(world: World) -> dict[str, str]:
    secret = create_link(world.database, 60.0)
    answer = world.client.post("/sign-in", json={"secret": secret})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert secret not in cookie
    assert world.client.post("/sign-in", json={"secret": secret}).status_code == 401  # good once
    bearer = {"Authorization": f"Bearer {secret}"}
    assert world.client.get("/v1/me", headers=bearer).status_code == 401  # and for nothing else
    csrf: str = world.client.get("/v1/me").json()["csrf"]
    return {"X-GFI-CSRF": csrf}


def test_a_browser_changes_nothing_for_another_site(one_world: World) -> None:
    headers = _sign_in(one_world)
    body = {"dataset": str(one_world.photographs), "model": "tiny"}
    post = one_world.client.post
    assert post("/v1/jobs", json=body).status_code == 403
    assert post("/v1/jobs", json=body, headers={"X-GFI-CSRF": "0" * 64}).status_code == 403
    assert (
        post("/v1/jobs", json=body, headers=headers | {"Origin": "https://evil.example"}).status_code == 403
    )
    assert post("/v1/jobs", json=body, headers=headers | {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    fine = post("/v1/jobs", json=body, headers=headers | {"Origin": "http://testserver"})
    assert fine.status_code == 201
    evil = {"Origin": "https://evil.example"}
    assert post("/sign-in", json={"secret": "x"}, headers=evil).status_code == 403
    assert post("/sign-out", headers=headers).status_code == 200
    assert one_world.client.get("/v1/me").status_code == 401


def test_pages_forbid_everything_from_elsewhere(one_world: World) -> None:
    page = one_world.client.get("/sign-in")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    static = Path(__file__).parents[3] / "gfi" / "web"
    for file in (*static.rglob("*.html"), *static.rglob("*.js"), *static.rglob("*.css")):
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert "http://" not in text
        assert "innerHTML" not in text
        assert " style=" not in text


def _hooks(**more: Any) -> ApiSettings:
    settings = {"webhook_hosts": "hooks.example.org,*.example.net", "webhook_secret": "s3cret"} | more
    return ApiSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/", "https://evil.org/", "https://hooks.example.org@evil.org/", "ftp://hooks.example.org",
        "https://hooks.example.org:6379/", "https://example.net/", "https://evilexample.net/", "https://127.0.0.1/",
        "https://[::1]/", "https://hooks.example.org/ HTTP/1.1\r\nX: y", "https://169.254.169.254/latest", "nonsense",
        "https://hooks.example.org/#x", "https://[bad/",
    ],
)  # fmt: skip
def test_a_webhook_reaches_allow_listed_hosts_only(url: str) -> None:
    with pytest.raises(webhook_addresses.Refused):
        webhook_addresses.check(url, _hooks())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.8", "100.64.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:10.0.0.1", "fd00::1",
        "fe80::1", "fec0::1", "2002:a00:8::", "64:ff9b::a00:8", "::a00:8",
    ],
)  # fmt: skip
def test_a_webhook_never_reaches_a_private_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    family = 10 if ":" in address else 2
    public = (2, 1, 6, "", ("93.184.215.14", 443))
    monkeypatch.setattr(
        webhook_delivery.socket, "getaddrinfo", lambda *_, **__: [public, (family, 1, 6, "", (address, 443))]
    )
    parts = webhook_addresses.check("https://hooks.example.org/x", _hooks())
    with pytest.raises(webhook_delivery.Undeliverable, match="not public"):
        webhook_delivery.resolve(parts, False)
    assert webhook_delivery.resolve(parts, True) == "93.184.215.14"


def test_a_webhook_goes_to_the_address_that_was_checked_whatever_its_name_becomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def rebound(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"  # public once, ours from then on
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 1))]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    message = {"id": "1", "kind": "job.finished", "job_id": "j", "payload": {}}
    with pytest.raises(webhook_delivery.Undeliverable):
        webhook_delivery.deliver(message, "https://hooks.example.org/x", _hooks())
    assert asked == ["hooks.example.org", "93.184.215.14"]  # the second to connect: a number, no name


def test_no_token_appears_in_any_log(one_world: World, capfd: pytest.CaptureFixture[str]) -> None:
    made = one_world.call("POST", "/v1/tokens", json={"name": "quiet", "scopes": ["admin"]}).json()["token"]
    one_world.client.get("/v1/jobs", headers={"Authorization": f"Bearer {made}"})
    one_world.client.get(f"/v1/jobs?search={made}", headers={"Authorization": f"Bearer {made}"})
    _sign_in(one_world)
    one_world.client.post("/sign-in", json={"secret": made})
    cookie = one_world.client.cookies["gfi_session"]
    out = "".join(capfd.readouterr())
    assert "/v1/jobs" in out  # there is a log
    for secret in (made, cookie, *one_world.tokens.values()):
        assert secret not in out
    audit = json.dumps(one_world.call("GET", "/v1/audit").json())
    assert made not in audit
    assert os.environ["GFI_S3_SECRET_KEY"] not in out


def test_the_picture_of_a_hostile_name_is_served_under_ours(one_world: World) -> None:
    job = one_world.explained()
    answer = one_world.call("GET", f"/v1/jobs/{job}/results/0/mask.png")
    assert answer.headers["content-disposition"] == 'inline; filename="0-mask.png"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert io.BytesIO(answer.content).read(4) == b"\x89PNG"

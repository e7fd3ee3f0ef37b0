"""A complete service with a real database, bucket and Redis; instead of planner and worker, tests call the ledger."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi.testclient import TestClient

from gfi import samples
from gfi.api import create_app, webhook_delivery
from gfi.api.config import ApiSettings
from gfi.cli.servers import Server, free_port
from gfi.datasets.media.local import version_of
from gfi.datasets.sources import open_source
from gfi.domain.ids import new_id
from gfi.domain.records import PartRecord
from gfi.domain.result import Result
from gfi.domain.states import ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.domain.window import AppliedWindow
from gfi.report.overlays import jpeg
from gfi.store import ledger, parts, queries
from gfi.store.database import Database
from gfi.store.ledger.tokens import create_link
from gfi.store.objects import Bucket
from gfi.store.parts import PartHeader
from gfi.store.settings import Settings
from gfi.store.tables import metadata, model_versions
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY
from tests.speed import slowness

MODEL = "tiny"
DIGEST = "0" * 64


def model_record() -> dict[str, Any]:
    """The record that registration stores for a network with three classes."""
    chosen = {"inverted": "features.4", "weighed": ["features.2:relu"], "how": "preset"}
    return {
        "reference": MODEL,
        "digest": DIGEST,
        "input_size": [64, 64],
        "preprocess": {"size": [64, 64]},
        "output": "softmax",
        "classes": 3,
        "class_names": ["cat", "coffee", "rocket"],
        "wordnet_ids": [],
        "layers": [
            {"name": "features.2", "type": "Conv2d", "shape": [8, 14, 14], "rectified": False},
            {"name": "features.4", "type": "Conv2d", "shape": [8, 7, 7], "rectified": False},
        ],
        "chosen": {"paper": chosen, "released": chosen, "tuned": chosen},
        "parameters": 1000,
    }


@dataclass
class World:
    """The service, with its database, bucket and Redis."""

    client: TestClient
    database: Database
    bucket: Bucket
    settings: Settings
    photographs: Path
    tokens: dict[str, str]
    labelled: bool = False
    """Whether images have labels, features and thumbnails."""

    def call(self, method: str, path: str, scope: str = "admin", **how: Any) -> Any:
        """A request with a token of this scope."""
        headers = {"Authorization": f"Bearer {self.tokens[scope]}"} | how.pop("headers", {})
        return self.client.request(method, path, headers=headers, **how)

    def submit(self, scope: str = "admin", headers: dict[str, str] | None = None, **fields: Any) -> Any:
        """POST /v1/jobs."""
        body = {"dataset": str(self.photographs), "model": MODEL, "new": True} | fields
        return self.call("POST", "/v1/jobs", scope, json=body, headers=headers or {})

    def planned(self, total: int = 0, size: int = 8, **fields: Any) -> str:
        """Submit a job and plan it as a control worker does. Returns its id."""
        submitted = self.submit(**fields)
        assert submitted.status_code == 201, submitted.text
        job = submitted.json()["job"]["id"]
        while (claim := ledger.claim_control(self.database, "planner", 60.0)) is not None:
            if claim.kind is not ControlKind.PLAN:
                assert ledger.finish_control(self.database, claim)
                continue
            total = total or len(self.names)
            bounds = [(at, min(at + size, total)) for at in range(0, total, size)]
            assert ledger.finish_planning(
                self.database,
                claim,
                manifest_key=f"jobs/{job}/manifest.parquet",
                manifest_digest="m" * 64,
                total=total,
                shards=bounds,
                metadata={"columns": {"site": "text", "age": "number"}},
            )
        return str(job)

    @property
    def names(self) -> list[str]:
        """The photographs' keys in listing order."""
        return sorted(path.name for path in self.photographs.iterdir())

    def explained(self, broken: int = 1, **fields: Any) -> str:
        """A finished job over the photographs, with a real part in the bucket; its last `broken` images are errors."""
        job = self.planned(size=64, **fields)
        while self.explain_shard(broken):
            pass
        ledger.finish_jobs(self.database)
        return job

    def explain_shard(self, broken: int = 1) -> bool:
        """Claim and commit one shard as a worker does. False when there is none."""
        claim = ledger.claim_shard(self.database, "worker", "explain", 60.0)
        claim = claim or ledger.claim_shard(self.database, "worker", "interactive", 60.0)
        if claim is None:
            return False
        spec = claim.stored_config["dataset"]["spec"]
        keys = [image.key for image in open_source(spec, self.settings).list()]
        rows = [
            replace(row, columns={"site": "AB"[at % 2], "age": float(at % 10)})
            for at in range(claim.start, claim.stop)
            for row in self._classes(
                self._row(at, keys[at % len(keys)], broken), claim.stored_config.get("top", 1)
            )
        ]
        header = PartHeader(
            job_id=claim.job_id,
            shard_id=claim.shard_id,
            fence=claim.fence,
            model_digest=DIGEST,
            method_digest=claim.stored_config["method_digest"],
            recipe=claim.stored_config["recipe"],
            layers=claim.stored_config["layers"],
            profile={"device_kind": "cpu"},
            align_corners=False,
            input_size=(64, 64),
            code_version="test",
            model_reference=MODEL,
        )
        part = parts.write(header, rows)
        key = parts.part_key(claim.job_id, claim.shard_id, claim.fence)
        self.bucket.put(key, part.data)
        record = PartRecord(new_id(), key, part.sha256, len(part.data), part.rows)
        return ledger.commit_shard(self.database, claim, claim.stop, record, rows)

    def _classes(self, row: Result, top: int) -> list[Result]:
        """One row for each explained class of an image, with different masks."""
        if row.grid is None or row.target is None:
            return [row]
        return [
            replace(
                row, target_rank=rank, target=(row.target + rank) % 3, grid=np.roll(row.grid, 3 * rank, 0)
            )
            for rank in range(top)
        ]

    def _row(self, row: int, key: str, broken: int) -> Result:
        if not (self.photographs / key).exists():  # an upload
            return Result(row=row, key=key, status=ImageStatus.CONSTANT, target=0, prediction=0)
        version = version_of((self.photographs / key).stat())
        if key in self.names[len(self.names) - broken :]:
            return Result(
                row=row, key=key, status=ImageStatus.ERROR, error="not a photograph", error_class="unreadable"
            )
        from PIL import Image

        with Image.open(self.photographs / key) as image:
            width, height = image.size
        ys, xs = np.mgrid[0:14, 0:14] / 13.0
        grid = np.exp(-((xs - 0.3 - 0.03 * (row % 10)) ** 2 + (ys - 0.5) ** 2) / 0.05).astype(np.float32)
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        more: dict[str, Any] = {}
        if self.labelled:
            features = np.cos(np.arange(256) * (1 + row % 7)).astype(np.float16)
            more = {"label": ("cat", "coffee", "rocket")[(row + row // 4) % 3], "features": features}
            more["thumbnail"] = jpeg(np.full((48, 64, 3), 40 + row % 200, np.uint8))
        return Result(
            **more,
            row=row,
            key=key,
            version=version,
            status=ImageStatus.OK,
            target=row % 3,
            prediction=(row + 1) % 3,
            probability=0.9,
            kept=0.5 + row % 40 / 100,
            removed=0.1,
            grid=grid,
            iterations=80,
            original_size=(height, width),
            box=(left, top, left + side, top + side),
            area=row % 50 / 50,
            window=AppliedWindow(0, 1023, "10 bits by the file") if row == 1 else None,
            repairs=("a box is cut at the photograph's edge",) if row == 1 else (),
            metrics={"deletion": 0.2, "insertion": 0.5 + row / 10_000},
        )


def environment(database_url: str, s3: Server, valkey: Server, home: Path, **more: str) -> dict[str, str]:
    """GFI_* variables of a service."""
    return {
        "GFI_HOME": str(home),
        "GFI_DATABASE_URL": database_url,
        "GFI_REDIS_URL": valkey.url,
        "GFI_S3_ENDPOINT": s3.url,
        "GFI_S3_BUCKET": "gfi-api",
        "GFI_S3_ACCESS_KEY": S3_ACCESS_KEY,
        "GFI_S3_SECRET_KEY": S3_SECRET_KEY,
        "GFI_DATASET_ROOTS": str(home / "data"),
        **more,
    }


def make_world(variables: dict[str, str], patch: pytest.MonkeyPatch, client: Any = None) -> World:
    """A service configured by these variables, with tokens, a model and photographs."""
    for name, value in variables.items():
        patch.setenv(name, value)
    settings = Settings.load()
    database = Database(settings.require_database())
    bucket = Bucket.from_settings(settings)
    bucket.ensure()
    photographs = Path(variables["GFI_DATASET_ROOTS"]) / "photographs"
    if not photographs.exists():
        photographs.mkdir(parents=True)
        wanted = sorted(p for p in Path(samples.__file__).parent.rglob("*") if p.suffix in (".jpg", ".png"))
        for path in wanted[:9]:
            shutil.copy(path, photographs / path.name)
        (photographs / "zz-broken.jpg").write_bytes(b"not a photograph")
    if queries.find_model(database, MODEL) is None:
        ledger.save_model(database, MODEL, DIGEST, model_record(), actor="test")
    tokens = {
        scope: ledger.create_token(database, f"{scope}-test", [scope])[1]
        for scope in ("read", "submit", "admin")
    }
    return World(client, database, bucket, settings, photographs, tokens)


def wait_until(true: Callable[[], Any], patience_s: float = 60.0) -> None:
    """Return when `true()` is true; fails after `patience_s`."""
    end = time.monotonic() + patience_s * slowness()
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.05)


def sign_in(world: World) -> dict[str, str]:
    """Sign the world's client in through a one-time link; returns the header that its changes need."""
    secret = create_link(world.database, 60.0)
    answer = world.client.post("/sign-in", json={"secret": secret})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert secret not in cookie
    assert world.client.post("/sign-in", json={"secret": secret}).status_code == 401  # valid only once
    bearer = {"Authorization": f"Bearer {secret}"}
    assert world.client.get("/v1/me", headers=bearer).status_code == 401  # and only at this address
    csrf: str = world.client.get("/v1/me").json()["csrf"]
    return {"X-GFI-CSRF": csrf}


def webhook_settings(**more: Any) -> ApiSettings:
    """Settings that allow webhooks to two hosts."""
    settings = {"webhook_hosts": "hooks.example.org,*.example.net", "webhook_secret": "s3cret"} | more
    return ApiSettings(**settings)  # type: ignore[arg-type]


@contextmanager
def serving(around: Callable[[Any], Any] = lambda app: app) -> Iterator[str]:
    """A live server, configured by the environment. around: wraps the application. Yields its address."""
    port = free_port()
    config = uvicorn.Config(around(create_app()), port=port, log_level="error", access_log=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


class Services:
    """One service for each kind of database, started when first needed and emptied after each test."""

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        self._directory, self._request = directory, request
        self._made: dict[str, tuple[World, dict[str, str]]] = {}
        self._stack = ExitStack()

    def world(self, kind: str, patch: pytest.MonkeyPatch) -> World:
        """The service on this kind of database, with its variables set while `patch` lasts."""
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        world, variables = self._made[kind]
        for name, value in variables.items():
            patch.setenv(name, value)
        return world

    def _make(self, kind: str) -> tuple[World, dict[str, str]]:
        get = self._request.getfixturevalue
        servers = get("postgres" if kind == "postgres" else "sqlite_files")
        home = self._directory / kind
        home.mkdir()
        variables = environment(servers.create(), get("s3"), get("valkey"), home)
        with pytest.MonkeyPatch.context() as patch:
            # The background thread would send the messages that tests send themselves.
            patch.setattr(webhook_delivery, "deliver_loop", lambda *_: None)
            world = make_world(variables, patch)
            world.client = self._stack.enter_context(TestClient(create_app(), raise_server_exceptions=False))
            world.call("GET", "/v1/jobs")  # opens database and bucket while these variables are set
        self._stack.callback(world.database.dispose)
        return world, variables

    def close(self) -> None:
        """Stop the services."""
        self._stack.close()


@pytest.fixture(scope="package")
def services(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Services]:
    """The services of this folder's tests: starting one takes a second, emptying one some milliseconds."""
    made = Services(tmp_path_factory.mktemp("services"), request)
    yield made
    made.close()


@contextmanager
def _emptied(world: World) -> Iterator[World]:
    photographs = {path.name: path.read_bytes() for path in world.photographs.iterdir()}
    yield replace(world, tokens=dict(world.tokens))
    world.client.cookies.clear()
    with world.database.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            if table.name not in ("tokens", "models", "model_versions"):
                connection.execute(sa.delete(table))
        kept = sa.and_(model_versions.c.reference == MODEL, model_versions.c.version == 1)
        connection.execute(sa.delete(model_versions).where(sa.not_(kept)))
    for path in world.photographs.iterdir():
        if path.name not in photographs or path.read_bytes() != photographs[path.name]:
            path.unlink()
    for name, data in photographs.items():
        if not (world.photographs / name).exists():
            (world.photographs / name).write_bytes(data)


@pytest.fixture(params=["sqlite", "postgres"])
def world(
    services: Services, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The service on SQLite and on PostgreSQL, for tests of queries whose results might differ between the two."""
    with _emptied(services.world(request.param, monkeypatch)) as made:
        yield made


@pytest.fixture
def one_world(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The service on SQLite; queries and ledger are tested on both databases in tests/service/store."""
    with _emptied(services.world("sqlite", monkeypatch)) as made:
        yield made

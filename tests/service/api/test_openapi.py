"""schemathesis against a live server with all checks; 422 is declared for requests refused for their meaning."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gfi.cli.servers import Server
from gfi.domain.job import JobOptions
from gfi.store import ledger
from tests.service.api.conftest import DIGEST, World, environment, make_world, model_record, serving
from tests.speed import slowness

# The limit of requests a minute is tested in test_rates.
# `make fuzz` asks for more, and prints what was reached.
_EXAMPLES = ("--max-examples", os.environ["GFI_FUZZ_EXAMPLES"]) if "GFI_FUZZ_EXAMPLES" in os.environ else ()
ROOT = Path(__file__).parents[3]
FAST = {"GFI_API_REQUESTS_PER_MINUTE": "10000000", "GFI_MAX_ACTIVE_JOBS": "100000"}
UNKNOWN = ("none", "../jobs", "é")
NO_SUCCESS = {
    ("POST", "/v1/models"),
    ("POST", "/v1/schedules"),
    ("POST", "/v1/transfers"),
    ("POST", "/v1/imports"),
    ("GET", "/v1/imports/{task_id}"),
    ("POST", "/v1/audits"),
    ("POST", "/v1/audits/{audit_id}/confirm"),
    ("POST", "/v1/audits/{audit_id}/verify"),
    ("PATCH", "/v1/audits/{audit_id}/findings/{finding_id}"),
    ("GET", "/v1/audits/{audit_id}/findings/{finding_id}/pictures/{name}"),
    ("GET", "/v1/jobs/{job_id}/exports/{task_id}/file"),
    ("GET", "/v1/jobs/{job_id}/results/{row}/thumbnail.jpg"),
}
"""Operations that may succeed in no request here: no worker runs, so registering a model and a transfer are refused
at once and no export is made; arbitrary bytes are no masks; an audit has no findings; the parts have no thumbnails; few
arbitrary schedules and audits of datasets have a time or classes, and an acceptable job."""


class Counted:
    """Counts the answers of an application by method, route and status."""

    def __init__(self, app: Any) -> None:
        self.app, self.answers = app, Counter[tuple[str, str, int]]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start" and "route" in scope:
                self.answers[scope["method"], scope["route"].path, message["status"]] += 1
            await send(message)

        await self.app(scope, receive, counted if scope["type"] == "http" else send)

    @property
    def succeeded(self) -> set[tuple[str, str]]:
        """Methods and routes with an answer 2xx."""
        return {(method, path) for method, path, status in self.answers if 200 <= status < 300}


@pytest.fixture
def live(
    sqlite_files: Any, s3: Server, valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, World, Counted]]:
    """A live server, its world, and the count of its answers."""
    world = make_world(environment(sqlite_files.create(), s3, valkey, tmp_path, **FAST), monkeypatch)
    apps: list[Counted] = []

    def counted(app: Any) -> Counted:
        apps.append(Counted(app))
        return apps[0]

    with serving(counted) as url, httpx.Client(base_url=url, timeout=60.0 * slowness()) as client:
        world.client = client
        yield url, world, apps[0]
    world.database.dispose()


def _made(world: World) -> dict[str, list[str] | list[int]]:
    """Something real for each kind of parameter; what requests destroy is made several times."""
    spare = [f"spare-{n}" for n in range(3)]
    for name in (*spare, JobOptions.model_fields["model"].default):
        ledger.save_model(world.database, name, DIGEST, model_record() | {"reference": name}, actor="test")
    one = world.photographs.parent / "one"
    one.mkdir()
    shutil.copy(world.photographs / world.names[0], one)
    small = world.explained(0, name="one image", dataset=str(one), total=1)
    read = [world.explained(name="read"), world.explained(name="two classes", top=2)]
    tasks = [task["id"] for task in world.call("GET", "/v1/tasks").json()["items"]]
    deletable, retried = ([world.explained() for _ in range(3)] for _ in range(2))
    running = [world.planned() for _ in range(6)]
    waiting = [world.submit().json()["job"]["id"] for _ in range(3)]
    own = [
        ledger.request_task(world.database, "register", {"reference": f"net-{n}"}, owner="admin-test")[0]
        for n in range(6)
    ]
    for task in own[3:]:
        ledger.cancel_task(world.database, task)
    job = {"dataset": str(world.photographs), "model": "tiny"}
    schedules, names = [f"nightly-{n}" for n in range(3)], [f"photographs-{n}" for n in range(3)]
    for schedule, name in zip(schedules, names, strict=True):
        made = world.call("POST", "/v1/schedules", json={"name": schedule, "cron": "0 2 * * *", "job": job})
        assert made.status_code == 201, made.text
        made = world.call("POST", "/v1/datasets", json={"name": name, "dataset": str(world.photographs)})
        assert made.status_code == 201, made.text
    world.call("PUT", f"/v1/jobs/{read[0]}/results/1/flag", json={"note": "a frame"})
    views = [f"view-{n}" for n in range(3)]
    for view in views:
        for job_id in read:
            made = world.call(
                "POST", f"/v1/jobs/{job_id}/views", json={"name": view, "query": "status=ok&sort=area"}
            )
            assert made.status_code == 201, made.text
    asked = world.call("POST", f"/v1/jobs/{read[0]}/audit", json={"dry_run": True})
    assert asked.status_code == 202, asked.text
    compared = world.call("POST", "/v1/comparisons", json={"a": read[0], "b": read[1]})
    assert compared.status_code == 202, compared.text
    pair = {"a": read[0], "b": read[1], "floor": [], "images": 200, "seed": 0}
    transfer, _ = ledger.request_task(world.database, "transfer", pair, owner="admin-test", job_id=read[1])
    exported = world.call("POST", f"/v1/jobs/{read[0]}/exports", json={"format": "jsonl"})
    assert exported.status_code == 202, exported.text
    tokens = [
        world.call("POST", "/v1/tokens", json={"name": f"t{n}", "scopes": ["read"]}).json()["id"]
        for n in range(3)
    ]
    return {
        "job": read,
        "small": [small, *UNKNOWN],
        "ended": [*read, *UNKNOWN],
        "row": list(range(4)),
        "key": world.names[:3],
        "column": ["label", "target", "site", "age"],
        "task": [*tasks[:3], *own[:3]],
        "retried-task": [*own[3:], *UNKNOWN],
        "token": tokens,
        "audit": [asked.json()["audit"]["id"]],
        "comparison": [compared.json()["id"]],
        "transfer": [transfer],
        "exported": read[:1],
        "export": [exported.json()["id"]],
        "model": ["tiny"],
        "spare-model": [*spare, *UNKNOWN],
        "dataset": [str(world.photographs), f"@{names[0]}"],
        "dataset-name": names[1:],
        "view": views,
        "view-query": ["status=ok&sort=area", "wrong=true"],
        "schedule": schedules,
        "zone": ["UTC", "Europe/Berlin"],
        "cron": ["0 2 * * *", "*/5 * * * 1-5"],
        "running": [*running, *waiting, *UNKNOWN],
        "deletable": [*deletable, *UNKNOWN],
        "retried": [*retried, *UNKNOWN],
    }


@pytest.mark.timeout(7200)  # it has a limit of its own
def test_the_server_does_what_its_document_says(live: tuple[str, World, Counted], tmp_path: Path) -> None:
    url, world, app = live
    config = tmp_path / "schemathesis.toml"
    settings = (Path(__file__).parent / "schemathesis.toml").read_text()
    lines = [
        settings.replace("coverage.enabled = false", "coverage.enabled = true") if _EXAMPLES else settings
    ]
    for name, values in _made(world).items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    config.write_text("\n".join(lines) + "\n")
    app.answers.clear()
    with subprocess.Popen(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "--config-file",
            str(config),
            "run",
            f"{url}/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {world.tokens['admin']}",
            "--no-color",
            *_EXAMPLES,
        ],
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.service.api.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        try:
            told, _ = run.communicate(timeout=float(os.environ.get("GFI_FUZZ_S", "280")) * slowness())
        except subprocess.TimeoutExpired:
            assert _EXAMPLES, "it took too long"
            run.send_signal(signal.SIGINT)  # then it says what it has found until now
            told, _ = run.communicate(timeout=60 * slowness())
            assert "= FAILURES =" not in told, told[-20_000:]
            return
        finally:
            run.kill()
            print("".join(f"{n:5} {' '.join(map(str, kind))}\n" for kind, n in sorted(app.answers.items())))
    print(told[-4000:])
    assert run.returncode == 0, told[-20_000:]
    document = world.call("GET", "/v1/openapi.json").json()["paths"]
    operations = {(method.upper(), path) for path, methods in document.items() for method in methods}
    assert operations - app.succeeded <= NO_SUCCESS

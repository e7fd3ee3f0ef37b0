"""Registration of a model: a child process loads the network and writes its record, and this process stores it.

A model file may name arbitrary code, so it runs in a process (`workers.model_reader`) without access to database and
bucket, which is ended when it takes too long or the task is cancelled. Its memory is limited.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gfi.domain.errors import MethodError
from gfi.jobs import confined
from gfi.jobs.task_run import TaskRun
from gfi.method.model_bundle import bundled, own_file
from gfi.store.ledger.audit import record
from gfi.store.ledger.models import write_model
from gfi.store.model_store import ModelFile, put_files, put_head, read_files
from workers.services import WorkerServices

POLL_S = 0.1
LARGEST_RECORD = 64 * 2**20
_WEIGHTS = ("TORCH_HOME", "XDG_CACHE_HOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that the child keeps besides the usual ones: the places of local weights, and threads."""


def register(services: WorkerServices, run: TaskRun) -> str:
    """Load the model `reference` of the task and store its record and its files.

    With `files` in the task, these are the model's; whoever asked has put them into the bucket. Otherwise a model file
    of that name in the models folder of this worker is copied there. Raises MethodError if it cannot be loaded.
    """
    reference = str(run.claim.payload["reference"])
    given = run.claim.payload.get("files")
    own = own_file(services.settings.models, reference)
    if given is not None:
        files = read_files(given)
        with services.models.opened(reference, files) as folder:
            described = describe(services, reference, run, folder)
        return _store(run, reference, described, files)
    if own is None:
        return _store(run, reference, describe(services, reference, run, services.settings.models), None)
    with bundled(own) as bundle:
        described = describe(services, reference, run, bundle.folder)
        run.check()
        files = put_files(services.bucket, bundle.files, bundle.names)
    return _store(run, reference, described, files)


def _store(run: TaskRun, reference: str, described: dict[str, Any], files: list[ModelFile] | None) -> str:
    def write(connection: sa.Connection) -> None:
        write_model(
            connection,
            reference,
            described["digest"],
            described,
            actor=run.claim.owner or "local",
            note=str(run.claim.payload.get("note", "")),
            files=files,
        )
        record(connection, run.claim.owner or "local", "model.registered", None, {"reference": reference})

    done = run.finish({"reference": reference, "digest": described["digest"]}, write)
    return f"registered {reference}" if done else "too late"


def describe(services: WorkerServices, reference: str, run: TaskRun, models_dir: Path) -> dict[str, Any]:
    """The record of a model, read by a child process; its head is in the bucket then.

    Raises MethodError, and Interrupted from `run.check`.
    """
    settings = services.settings
    with tempfile.TemporaryDirectory(prefix="gfi-register-") as folder:
        output, head, log = Path(folder) / "record.json", Path(folder) / "head.npz", Path(folder) / "log"
        command = [
            *(sys.executable, "-P", "-m", "workers.model_reader"),
            *("--models", str(models_dir), "--output", str(output), "--head", str(head)),
            *("--memory-mib", str(settings.registration_mib), "--parent", str(os.getpid())),
            *("--", reference),
        ]
        with log.open("wb") as errors:
            child = subprocess.Popen(
                command,
                env={**confined.environment(*_WEIGHTS), "CUDA_VISIBLE_DEVICES": ""},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        try:
            _wait(child, reference, settings.registration_s, run)
        finally:
            _end(child)
        described = _answer(child.returncode, output, log, reference, settings.registration_mib)
        put_head(services.bucket, head, described["head"])
        return described


def _wait(child: "subprocess.Popen[bytes]", reference: str, limit_s: float, run: TaskRun) -> None:
    ends = time.monotonic() + limit_s
    while child.poll() is None:
        run.check()
        run.progressed()
        if time.monotonic() > ends:
            raise MethodError(
                f"{reference}: loading it took more than {limit_s:.0f} s (GFI_REGISTRATION_S on the worker)"
            )
        time.sleep(POLL_S)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill the child and the processes that it may have started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _answer(code: int, output: Path, log: Path, reference: str, memory_mib: int) -> dict[str, Any]:
    if output.is_file() and output.stat().st_size <= LARGEST_RECORD:
        answer: dict[str, Any] = json.loads(output.read_text())
        if "record" in answer:
            return answer["record"]
        raise MethodError(answer["error"])
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = f": {lines[-1][:300]}" if lines else ""
    if code == -signal.SIGKILL:
        raise MethodError(
            f"{reference}: the process that loaded it was killed, perhaps for its memory; the limit is"
            f" {memory_mib} MiB (GFI_REGISTRATION_MIB on the worker)"
        )
    raise MethodError(f"{reference}: the process that loaded it ended with status {code}{said}")

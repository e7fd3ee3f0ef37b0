"""What every task of a worker process shares: settings, database, bucket, datasets, manifests, loaded networks."""

import hashlib
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from gfi.datasets.manifest import Manifest
from gfi.datasets.sources import Source, open_source
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.heartbeat import worker_name
from gfi.store.objects import Bucket
from gfi.store.settings import Settings
from workers.engines import Engines

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The few values used last, by name, each made once. Not shared between threads."""

    def __init__(self, keep: int, drop: Callable[[Value], None] = lambda value: None) -> None:
        self._keep = keep
        self._drop = drop
        self._values: OrderedDict[str, Value] = OrderedDict()

    def get(self, name: str, make: Callable[[], Value]) -> Value:
        """The value called `name`, made by `make` when it is not at hand."""
        if name not in self._values:
            self._values[name] = make()
            while len(self._values) > self._keep:
                self._drop(self._values.popitem(last=False)[1])
        self._values.move_to_end(name)
        return self._values[name]


class Rate:
    """Images per second, smoothed over the last few shards."""

    def __init__(self) -> None:
        self._per_second: float | None = None

    def add(self, images: int, seconds: float) -> None:
        """A shard of so many images took so long."""
        now = images / max(seconds, 1e-6)
        self._per_second = now if self._per_second is None else 0.7 * self._per_second + 0.3 * now

    def per_second(self) -> float | None:
        """None before the first shard."""
        return self._per_second


LONGEST_REST_S = 60.0


class Services:
    """One a process; everything is opened at first use. device: `cpu` or `cuda:N`. threads, dtype: of the optimiser."""

    def __init__(
        self, settings: Settings, device: str = "cpu", threads: int | None = None, dtype: str = "float32"
    ) -> None:
        self.settings = settings.require_stack()
        self.device = device
        self.threads = threads
        self.dtype = dtype
        self.name = worker_name()
        self.shutdown = threading.Event()
        self.rate = Rate()
        self.shard_id: str | None = None  # what is being explained, for the heartbeat
        self._refusals = 0
        self._manifests: Recent[tuple[Path, Manifest]] = Recent(
            8, lambda value: value[0].unlink(missing_ok=True)
        )
        self._sources: Recent[Source] = Recent(32)

    def rest(self, refused: bool) -> None:
        """After a shard: when the bucket or the database refused this worker, wait before taking another, longer each
        time. It fails faster than its healthy neighbours work, and would else take every shard before they do.
        """
        self._refusals = self._refusals + 1 if refused else 0
        if refused:
            self.shutdown.wait(min(LONGEST_REST_S, 2.0**self._refusals))

    @cached_property
    def device_kind(self) -> str:
        """As an execution profile names it: `cpu`, or `cuda:` and the name of the card."""
        if self.device == "cpu":
            return "cpu"
        import torch

        return f"cuda:{torch.cuda.get_device_name(self.device)}"

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.require_database())

    @cached_property
    def bucket(self) -> Bucket:
        return Bucket.from_settings(self.settings)

    @cached_property
    def engines(self) -> Engines:
        return Engines(self.settings.models, self.device, self.threads, self.dtype)

    @cached_property
    def _directory(self) -> Path:
        # A manifest of ten million rows has some hundred megabytes. What a killed worker leaves, /tmp's tidying takes.
        self._temporary = tempfile.TemporaryDirectory(prefix="gfi-worker-")
        return Path(self._temporary.name)

    def source(self, spec: str) -> Source:
        """The dataset a job reads. Raises DatasetError where it is gone or out of reach."""
        return self._sources.get(spec, lambda: open_source(spec, self.settings))

    def manifest(self, key: str, digest: str | None = None) -> Manifest:
        """A job's manifest, fetched once. digest: its SHA-256; StoreError when the file is not that one."""
        return self._manifests.get(key, lambda: self._fetch_manifest(key, digest))[1]

    def _fetch_manifest(self, key: str, digest: str | None) -> tuple[Path, Manifest]:
        path = self._directory / hashlib.sha256(key.encode()).hexdigest()[:24]
        self.bucket.get_to(key, path)
        if digest is not None:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != digest:
                raise StoreError(f"manifest {key} has SHA-256 {found[:12]}…, the ledger says {digest[:12]}…")
        return path, Manifest.open(path)

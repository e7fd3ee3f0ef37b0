"""Shared objects of the tasks of a worker process: settings, database, bucket, datasets, manifests, loaded networks."""

import contextlib
import hashlib
import tempfile
import threading
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from cachetools import LRUCache

from gfi.datasets.manifest import Manifest
from gfi.datasets.sources import Source, open_source
from gfi.domain.digests import JSON
from gfi.domain.job import ModelRef
from gfi.domain.pauses import doubled
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.heartbeat import worker_name
from gfi.store.model_store import ModelCache
from gfi.store.objects import Bucket
from gfi.store.settings import Settings
from workers.loaded_engines import LoadedEngines
from workers.stages import Stages

MANIFESTS = 8
SOURCES = 32
LONGEST_REST_S = 60.0


class Rate:
    """Images per second, smoothed over the last few shards."""

    def __init__(self) -> None:
        self._per_second: float | None = None

    def add(self, images: int, seconds: float) -> None:
        """Record the duration of a shard with this many images."""
        latest = images / max(seconds, 1e-6)
        self._per_second = latest if self._per_second is None else 0.7 * self._per_second + 0.3 * latest

    def per_second(self) -> float | None:
        """None before the first shard."""
        return self._per_second


class ManifestFiles(LRUCache[str, tuple[Path, Manifest]]):
    """The manifests used last, by key, each in a local file that is deleted when its place is needed."""

    def popitem(self) -> tuple[str, tuple[Path, Manifest]]:
        """Delete the manifest that was used longest ago."""
        key, (path, manifest) = super().popitem()
        path.unlink(missing_ok=True)
        return key, (path, manifest)


class WorkerServices:
    """One instance per process; everything is opened at first use. Not shared by concurrent tasks.

    device: `cpu` or `cuda:N`. threads, dtype: those of the optimiser.
    """

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
        self.stages = Stages()
        self.shard_id: str | None = None  # the current work, for the heartbeat
        self._refusals = 0
        self._manifests = ManifestFiles(MANIFESTS)
        self._sources: LRUCache[str, Source] = LRUCache(SOURCES)

    def rest(self, refused: bool) -> None:
        """Called after a shard: if the bucket or the database refused this worker, wait before the next shard, longer
        each time. A failing worker is faster than healthy ones and would otherwise claim most shards.
        """
        self._refusals = self._refusals + 1 if refused else 0
        if refused:
            self.shutdown.wait(doubled(1.0, self._refusals, LONGEST_REST_S))

    @cached_property
    def device_kind(self) -> str:
        """The device kind of the execution profile: `cpu`, `mps`, or `cuda:` and the name of the card."""
        if not self.device.startswith("cuda"):
            return self.device
        import torch

        return f"cuda:{torch.cuda.get_device_name(self.device)}"

    def device_facts(self) -> JSON:
        """Properties of the device, for display: the version of torch, and the name and memory (MiB) of a card."""
        facts: JSON = {"torch": version("torch")}  # without importing torch, which takes seconds
        if self.device.startswith("cuda"):
            import torch

            card = torch.cuda.get_device_properties(self.device)
            facts |= {"device_name": card.name, "device_memory_mib": round(card.total_memory / 2**20)}
        return facts

    @cached_property
    def database(self) -> Database:
        """The ledger's database."""
        return Database(self.settings.require_database())

    @cached_property
    def bucket(self) -> Bucket:
        """The bucket of manifests, parts and pictures."""
        return Bucket.from_settings(self.settings)

    @cached_property
    def engines(self) -> LoadedEngines:
        """The loaded networks."""
        return LoadedEngines(
            self.settings.models, self.device, self.threads, self.dtype, folder_of=self.model_folder
        )

    @cached_property
    def models(self) -> ModelCache:
        """Copies of the registered models' files on this machine."""
        return ModelCache(self.settings.models_cache, self.bucket, self.settings.models_cache_mib * 2**20)

    @contextlib.contextmanager
    def model_folder(self, model: ModelRef) -> Iterator[Path | None]:
        """The folder that has the files of a registered version; None for one without files in the bucket."""
        files = queries.model_files(self.database, model)
        if not files:
            yield None
            return
        with self.models.opened(model.reference, files) as folder:
            yield folder

    @cached_property
    def _directory(self) -> Path:
        # A manifest of ten million rows has some hundred megabytes. The files of a killed worker are removed with other
        # old files in /tmp.
        self._temporary = tempfile.TemporaryDirectory(prefix="gfi-worker-")
        return Path(self._temporary.name)

    def source(self, spec: str) -> Source:
        """The dataset of a job. Raises DatasetError if it is missing or not readable."""
        if spec not in self._sources:
            self._sources[spec] = open_source(spec, self.settings)
        return self._sources[spec]

    def manifest(self, key: str, digest: str | None = None) -> Manifest:
        """A job's manifest, downloaded once. digest: its SHA-256; raises StoreError if the file has another one."""
        if key not in self._manifests:
            self._manifests[key] = self._fetch_manifest(key, digest)
        return self._manifests[key][1]

    def _fetch_manifest(self, key: str, digest: str | None) -> tuple[Path, Manifest]:
        path = self._directory / hashlib.sha256(key.encode()).hexdigest()[:24]
        self.bucket.get_to(key, path)
        if digest is not None:
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
            if actual != digest:
                raise StoreError(f"manifest {key} has SHA-256 {actual[:12]}…, the ledger has {digest[:12]}…")
        return path, Manifest.open(path)

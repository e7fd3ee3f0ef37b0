"""Shared objects of all routes: settings, database, bucket, caches. One of each per process, opened when first
needed."""

import threading
from functools import cached_property
from typing import Annotated

from cachetools import LRUCache
from fastapi import Depends, Request

from gfi.api.config import ApiSettings
from gfi.api.drawing import Pictures
from gfi.api.progress_hub import Hub
from gfi.datasets.sources import Source, open_source
from gfi.jobs.listing_reader import Beginning, read_listing
from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache
from gfi.store.settings import Settings

KEPT_SOURCES = 32
"""Opened datasets kept for later requests."""


class Context:
    """Thread-safe. Two concurrent first requests may both open an object; one of the two equal objects is kept."""

    def __init__(self) -> None:
        self._sources: LRUCache[str, Source] = LRUCache(KEPT_SOURCES)
        self._lock = threading.Lock()

    @cached_property
    def settings(self) -> Settings:
        """The addresses of the services. Raises StoreError with advice if nothing is configured."""
        return Settings.load().require_stack()

    @cached_property
    def api(self) -> ApiSettings:
        """The operator's settings of the API."""
        return ApiSettings.load()

    @cached_property
    def database(self) -> Database:
        """The ledger's database."""
        return Database(self.settings.require_database(), pool_size=20)

    @cached_property
    def bucket(self) -> Bucket:
        """The bucket of results."""
        return Bucket.from_settings(self.settings)

    @cached_property
    def part_cache(self) -> PartCache:
        """Cache of the parts that were read last."""
        return PartCache(self.database, self.bucket)

    @cached_property
    def pictures(self) -> Pictures:
        """Cache of the pictures that were drawn last."""
        return Pictures(self.api.cache)

    @cached_property
    def hub(self) -> Hub:
        """The progress streams of this process."""
        return Hub(lambda: self.database)

    def source(self, spec: str) -> Source:
        """The dataset of a job, opened. DatasetError when it is gone or no longer allowed."""
        with self._lock:
            known = self._sources.get(spec)
        if known is None:
            known = open_source(spec, self.settings)
            with self._lock:
                self._sources[spec] = known
        return known

    def listing(self, spec: str, first: int = 0) -> Beginning:
        """The beginning of a dataset's listing with its `first` images, read by a child process. DatasetError and
        LimitExceeded as `read_listing` raises."""
        api = self.api
        return read_listing(spec, self.settings, first, api.listing_mib, api.listing_s)

    def count_images(self, spec: str) -> int:
        """How many images a dataset has, as far as its beginning shows; read by a child process."""
        return self.listing(spec).images

    def close(self) -> None:
        """Close the database's connections."""
        if "database" in self.__dict__:
            self.database.dispose()


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(_context)]

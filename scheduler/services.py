"""Shared objects of the control tasks of one process."""

from dataclasses import dataclass

from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.settings import Settings


@dataclass(frozen=True)
class ControlServices:
    """Settings, database and bucket. One instance per process."""

    settings: Settings
    database: Database
    bucket: Bucket

"""What the control tasks of one process share."""

from dataclasses import dataclass

from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.settings import Settings


@dataclass(frozen=True)
class ControlServices:
    """Settings, database and bucket. One a process."""

    settings: Settings
    database: Database
    bucket: Bucket

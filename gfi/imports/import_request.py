"""Imports that are asked for. Masks sent to the API are imported by a worker: `workers.import_masks`.

The file is one that numpy, zipfile and Pillow read: HDF5 and tensors need libraries that are not made for files of
strangers, and only `gfi import` reads them. It lies below `uploads/` in the bucket until the import is done, and no
longer than other uploads.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from gfi.datasets.sources import UPLOADS
from gfi.domain.ids import new_id
from gfi.domain.methods import METHODS
from gfi.domain.presets import PRESETS
from gfi.domain.states import ControlKind
from gfi.imports.errors import ImportRefused
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import LimitExceeded, NotFound
from gfi.store.objects import Bucket

ENDINGS = (".zip", ".npz", ".npy")
LONGEST_METHOD = 64


@dataclass(frozen=True)
class ImportRequest:
    """masks: a folder or a file. method: what made them. model: a registered model, whose classes the labels are; None:
    the labels are the classes. crop: the masks show what the model sees, such as the centre crop, not the
    whole photograph."""

    masks: Path
    dataset: str
    method: str
    model: str | None = None
    crop: bool = False
    name: str = ""
    owner: str = ""


def check_request(database: Database, request: ImportRequest) -> queries.Model | None:
    """The model of a request. ImportRefused, or NotFound for the model, if it cannot be done whatever the masks are."""
    method = request.method
    if not method or len(method) > LONGEST_METHOD or not method.isprintable():
        raise ImportRefused(
            f"the method is a name of at most {LONGEST_METHOD} letters that says what made the masks"
        )
    if method in METHODS or method in PRESETS:
        raise ImportRefused(
            f"`{method}` is a method of gfi itself; name what made the masks, such as `captum-{method}`"
        )
    if request.model is None:
        if request.crop:
            raise ImportRefused("--crop needs --model: the crop is the one that the model sees")
        return None
    model = queries.find_model(database, request.model)
    if model is None:
        raise NotFound(f"no model {request.model}; `gfi models` lists them")
    return model


def request_import(
    database: Database,
    bucket: Bucket,
    file: tuple[str, bytes],
    request_of: Callable[[Path], ImportRequest],
) -> str:
    """Store a file of masks, (name, bytes), and request its import. Returns the id of the task.

    request_of: the request for masks at a path. Raises ImportRefused for another kind of file, and for what is wrong
    with the request, and LimitExceeded; nothing is stored then.
    """
    name, data = file[0].replace("\\", "/").rpartition("/")[2], file[1]
    stem, ending = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem)[:60].strip("-"), Path(name).suffix.lower()
    if ending not in ENDINGS:
        raise ImportRefused(
            f"masks arrive as {', '.join(ENDINGS)}, not {ending[:20] or 'a file without an ending'};"
            " `gfi import` on a machine of the service reads other kinds"
        )
    request = request_of(Path(f"{stem or 'masks'}{ending}"))
    check_request(database, request)
    key = f"{UPLOADS}{new_id()}/{request.masks.name}"
    bucket.put(key, data)
    payload = asdict(request) | {"masks": request.masks.name, "key": key}
    try:
        return ledger.request_task(database, ControlKind.IMPORT, payload, owner=request.owner)[0]
    except LimitExceeded:
        bucket.delete_many([key])
        raise


def import_of(database: Database, task_id: str) -> queries.Task:
    """The task of an import. Raises NotFound."""
    task = queries.get_task(database, task_id)
    if task.kind != ControlKind.IMPORT:
        raise NotFound(f"no import {task_id}")
    return task

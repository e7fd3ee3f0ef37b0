"""The boxes that a job's dataset has for one image, read from the manifest."""

from pathlib import Path

from gfi.datasets.annotations.boxes import ImageBoxes
from gfi.datasets.annotations.settle import settle_boxes
from gfi.datasets.errors import DatasetError
from gfi.datasets.manifest import Manifest
from gfi.store.errors import NotFound
from gfi.store.object_file import ObjectFile
from gfi.store.objects import Bucket
from gfi.store.queries import Job


def image_boxes(bucket: Bucket, job: Job, row: int, size: tuple[int, int] | None) -> ImageBoxes:
    """The boxes of one image in pixels of its photograph, or none and the reason as `error`.

    Only the row group with this row is read, not the whole manifest. size: (H, W) of the photograph, upright; None
    where it is not known. A box without a label of its own has that of its image.
    """
    if job.manifest_key is None:
        return ImageBoxes(error="the job has no listing")
    try:
        with ObjectFile(bucket, job.manifest_key) as file:
            (entry,) = Manifest.open(Path(job.manifest_key), file).pick([row])
    except NotFound:
        return ImageBoxes(error="the listing of the job is gone from the bucket")
    except DatasetError as error:
        return ImageBoxes(error=str(error))
    if entry.boxes_error is not None:
        return ImageBoxes(error=entry.boxes_error)
    if not entry.boxes:
        return ImageBoxes()
    if size is None:
        return ImageBoxes(error="the size of the photograph is not known")
    return settle_boxes(entry.boxes, size)

"""The pictures of a finding: images with the place outlined, and the crop."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gfi.audit.places import Place
from gfi.audit.verdicts import Tested
from gfi.jobs.audits.files import Kept, key
from gfi.jobs.audits.views import Missing, Views
from gfi.store.objects import Bucket
from gfi.store.queries import Audit

SHOWN = 6
SMALLEST_SIDE = 224


def outlined(shown: NDArray[np.uint8], place: Place | None) -> Image.Image:
    """A view (H, W, 3), enlarged if it is small, with the place outlined in white and black."""
    factor = max(1, -(-SMALLEST_SIDE // shown.shape[1]))
    image = Image.fromarray(shown)
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    if place is not None:
        top, bottom, left, right = (factor * edge for edge in place.pixels(shown.shape[:2]))
        drawing = ImageDraw.Draw(image)
        drawing.rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=(0, 0, 0), width=1)
        drawing.rectangle((left - 1, top - 1, right, bottom), outline=(255, 255, 255), width=2)
    return image


def picture_key(audit: Audit, finding_id: str, record: Mapping[str, Any], name: str) -> str:
    """Where a picture of a finding is stored. record: of the finding, which names the claim that stored it."""
    by = record.get("pictures_by")
    return key(audit.job_id, audit.id, "/".join(filter(None, (finding_id, by, name))))


def save_pictures(
    bucket: Bucket, audit: Audit, by: str, finding_id: str, tested: Tested, kept: Kept, views: Views
) -> dict[str, Any]:
    """Store up to six images and the crop of the first. Returns what the finding's record says of them.

    by: the claim of the task.
    """
    # Those of an earlier audit that the dataset has no more cannot be shown.
    removals = [r for r in tested.plan.removals if r.image >= 0][:SHOWN]
    rows = kept.rows[[r.image for r in removals]]
    try:
        shown = views(rows) if len(rows) else np.zeros((0, 1, 1, 3), np.uint8)
    except Missing:  # read a moment ago for the test; the finding is told without pictures
        return {"pictures": [], "crop": None}
    record = {"pictures_by": by}
    pictures = []
    for number, (removal, row, one) in enumerate(zip(removals, rows, shown, strict=True)):
        name = f"{number + 1}.jpg"
        at = picture_key(audit, finding_id, record, name)
        bucket.put(at, _bytes(outlined(one, removal.place), "JPEG"), content_type="image/jpeg")
        pictures.append({"name": name, "row": int(row)})
    if not pictures:
        return {"pictures": [], "crop": None}
    top, bottom, left, right = removals[0].place.pixels(shown[0].shape[:2])
    crop = outlined(shown[0][top:bottom, left:right], None)
    at = picture_key(audit, finding_id, record, "crop.png")
    bucket.put(at, _bytes(crop, "PNG"), content_type="image/png")
    return {"pictures": pictures, "crop": "crop.png", **record}


def _bytes(image: Image.Image, kind: str) -> bytes:
    body = io.BytesIO()
    image.save(body, kind, **({"quality": 88} if kind == "JPEG" else {}))
    return body.getvalue()

"""Datasets: the allowed locations, their contents, and names for datasets that are used often.

Whether a dataset may be read is decided when it is opened (`gfi.datasets.sources`), also for a registered one.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from gfi.api import drawing
from gfi.api.access import Admin, Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.dataset_names import PREFIX, dataset_key, resolve_dataset
from gfi.api.problems import Refused, documented
from gfi.api.schemas import NO_NUL, In, Text
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.digests import canonical
from gfi.store import ledger
from gfi.store.errors import Conflict, NotFound
from gfi.store.objects import Exists

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute)
DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class DatasetIn(In):
    """A dataset, and the name to register it under."""

    name: DatasetName
    dataset: Annotated[Text, Field(min_length=1, max_length=4096)]


class DatasetOut(BaseModel):
    """A registered dataset; a submission names it `@name`."""

    name: str
    dataset: str
    kind: str
    owner: str


class UploadLimits(BaseModel):
    """The limits of `POST /v1/uploads`: images and bytes of one upload, and hours until it is deleted."""

    images: int
    bytes: int
    hours: float


class DatasetsOut(BaseModel):
    """The locations from which datasets may be read, and the named datasets. Without roots: anywhere on this
    machine."""

    roots: list[str]
    buckets: list[str]
    registered: list[DatasetOut]
    uploads: UploadLimits


class PreviewIn(In):
    """The dataset to preview, and how many of its images to show."""

    dataset: Annotated[Text, Field(min_length=1, max_length=4096)]
    limit: Annotated[int, Field(ge=1, le=60)] = 12


class PreviewItem(BaseModel):
    """One image of a dataset."""

    key: str
    size: int
    label: str | None
    boxes: int


class PreviewOut(BaseModel):
    """The contents of a dataset. `complete`: every image was counted; otherwise there are at least `images`.
    `warnings`: what is left out, repaired or decided in the counted part."""

    dataset: str
    kind: str
    description: str
    images: int
    complete: bool
    items: list[PreviewItem]
    warnings: list[str] = []


@router.get("", responses=documented())
def list_datasets(context: ContextDep, caller: Reader) -> DatasetsOut:
    """The locations from which datasets may be read, and the named datasets."""
    entries = context.bucket.list(PREFIX)
    registered = [DatasetOut(**json.loads(context.bucket.get(entry.key))) for entry in entries]
    return DatasetsOut(
        roots=[str(root) for root in context.settings.dataset_roots],
        buckets=list(context.settings.dataset_buckets),
        registered=registered,
        uploads=UploadLimits(
            images=context.api.max_upload_images, bytes=context.api.max_upload, hours=context.api.upload_hours
        ),
    )


@router.post("", status_code=201, responses=documented(409, 413))
def register_dataset(body: DatasetIn, context: ContextDep, caller: Submitter) -> DatasetOut:
    """Register a dataset under a name; a submission then names it `@name`."""
    source = context.source(resolve_dataset(context, body.dataset))
    made = DatasetOut(name=body.name, dataset=source.spec, kind=source.kind, owner=caller.name)
    try:
        context.bucket.put(
            dataset_key(body.name),
            canonical(made.model_dump()).encode(),
            "application/json",
            if_none_match=True,
        )
    except Exists:
        raise Conflict(
            f"@{body.name} is registered already; choose another name, or delete it first"
        ) from None
    ledger.audited(context.database, caller.name, "dataset.registered", None, made.model_dump())
    return made


@router.delete("/{name}", status_code=204, responses=documented(404))
def forget_dataset(
    name: Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")],
    context: ContextDep,
    caller: Admin,
) -> None:
    """Remove a name; the images stay where they are."""
    if context.bucket.head(dataset_key(name)) is None:
        raise NotFound(f"no dataset is registered as @{name}")
    context.bucket.delete_many([dataset_key(name)])
    ledger.audited(context.database, caller.name, "dataset.forgotten", None, {"name": name})


@router.post("/preview", responses=documented(413))
def preview_dataset(body: PreviewIn, context: ContextDep, caller: Submitter) -> PreviewOut:
    """The kind of a dataset, its number of images, and the first of them."""
    source = context.source(resolve_dataset(context, body.dataset))
    listing = context.listing(source.spec, body.limit)
    return PreviewOut(
        dataset=source.spec,
        kind=source.kind,
        description=source.describe(),
        images=listing.images,
        complete=listing.complete,
        items=[PreviewItem(**item.__dict__) for item in listing.first],
        warnings=listing.warnings,
    )


@router.get(
    "/photo",
    response_class=Response,
    responses=documented(
        404,
        also={200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}},
    ),
)
def dataset_photo(
    request: Request,
    context: ContextDep,
    caller: Submitter,
    dataset: Annotated[str, Query(min_length=1, max_length=4096, pattern=NO_NUL)],
    key: Annotated[str, Query(min_length=1, max_length=2048, pattern=NO_NUL)],
    size: Annotated[int, Query(ge=16, le=1024)] = 240,
) -> Response:
    """One photograph of a dataset, made smaller. Keys that lead outside the dataset are refused."""
    source = context.source(resolve_dataset(context, dataset))
    try:
        data = context.pictures.get(
            ("dataset", source.spec, key, size),
            lambda: drawing.photo_jpeg(source.fetch(key).data, size=size),
        )
    except Unavailable:
        raise
    except DatasetError as error:
        raise Refused(404, str(error)) from None
    headers: dict[str, Any] = {"Cache-Control": "private, max-age=60"}
    return Response(data, media_type="image/jpeg", headers=headers)

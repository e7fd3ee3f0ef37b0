"""Names of datasets: `@name` in a submission stands for the dataset registered in the bucket as
`datasets/{name}.json`."""

import json

from gfi.api.context import Context
from gfi.api.problems import Refused
from gfi.datasets.sources import UPLOAD
from gfi.store.errors import NotFound

PREFIX = "datasets/"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def resolve_dataset(context: Context, dataset: str) -> str:
    """The dataset that `@name` stands for; any other dataset unchanged.

    Refused with 422 for an unknown name, and for an upload, which only its own job may read.
    """
    if dataset.startswith(UPLOAD):
        raise Refused(
            422, "an upload cannot be named as a dataset", "Send the photographs to POST /v1/uploads."
        )
    if not dataset.startswith("@"):
        return dataset
    try:
        return str(json.loads(context.bucket.get(dataset_key(dataset[1:])))["dataset"])
    except NotFound:
        raise Refused(422, f"no dataset is registered as {dataset}", "GET /v1/datasets lists them.") from None


def dataset_key(name: str) -> str:
    """The bucket key of a registered dataset. Refused with 422 when it cannot be a name."""
    if not name or not _LETTERS.issuperset(name):
        raise Refused(
            422, f"@{name[:64]} is not a valid dataset name", "GET /v1/datasets lists the registered names."
        )
    return f"{PREFIX}{name}.json"

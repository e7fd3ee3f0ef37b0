"""What is stored of a network when it is registered: its record, and its last linear layer."""

from pathlib import Path
from typing import Any

from gfi.domain.errors import MethodError
from gfi.domain.head import NO_HEAD, write_head
from gfi.method.classifiers import load
from gfi.method.head import head_weights


def describe(reference: str, models_dir: Path | None = None, head_file: Path | None = None) -> dict[str, Any]:
    """The record of a classifier that is to be registered; see `load` and `Classifier.record`.

    head_file: where its last linear layer is written (`gfi.domain.head`), of which the record then says as `head` what
    `write_head` returns, or NO_HEAD.

    A network of a `file:` factory is built twice, because one that differs from load to load would never be the one
    that was registered. Raises MethodError for such a network, and as `load` and `Classifier.record` do.
    """
    if reference.endswith(".toml"):  # a caller of the API must not name a file of the worker's machine
        raise MethodError(f"{reference} is a path; a registered model has a name")
    classifier = load(reference, models_dir)
    record = classifier.record()
    if head_file is not None:
        head = head_weights(classifier)
        record["head"] = NO_HEAD if head is None else write_head(head, head_file)
    if "code" in classifier.made_by:
        del classifier
        if load(reference, models_dir).digest != record["digest"]:
            raise MethodError(
                f"{reference}: the network differs from load to load: set its tensors and attributes from torch's"
                " random generator, which is seeded, or from constants, not from the time, other generators or ids"
            )
    return record

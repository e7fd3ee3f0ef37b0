"""A fault of one image is returned as its failure; faults of the storage or the machine are raised."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.listing import Fetched, fetched
from gfi.datasets.manifest import Entry
from gfi.domain.errors import MethodError
from gfi.domain.preprocess import Preprocess
from gfi.domain.statuses import ImageStatus
from gfi.domain.window import AppliedWindow, Window
from gfi.store.errors import StoreError
from workers import photographs
from workers.photographs import Photograph, photograph_reader

ENTRY = Entry(7, "seven.png", 1, "v1")


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (2000, 1000), "red").save(out, "PNG")
    return out.getvalue()


def twelve_bits() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.array([[0, 2048, 4095]], dtype=np.uint16)).save(out, "PNG")
    return out.getvalue()


def read(
    answer: Fetched | Exception,
    prepared: object = "prepared",
    *,
    overlays: bool = False,
    window: Window | None = None,
) -> Photograph:
    """The row, as it is read from a source that answers like this, by an engine that prepares like this."""

    def fetch(*_: object) -> Fetched:
        if isinstance(answer, Exception):
            raise answer
        return answer

    def prepare(*_: object) -> object:
        if isinstance(prepared, Exception):
            raise prepared
        return prepared

    source: Any = SimpleNamespace(fetch=fetch)
    classifier = SimpleNamespace(prepare=prepare, preprocess=Preprocess((32, 32), window=window))
    engine: Any = SimpleNamespace(classifier=classifier, recipe=None)
    return photograph_reader(source, engine, overlays)(ENTRY)


def test_a_readable_photograph_is_prepared_and_kept_small_for_its_overlay() -> None:
    photograph = read(fetched(png(), "v1", "v1"), overlays=True)
    assert (photograph.prepared, photograph.failure) == ("prepared", None)
    assert photograph.picture is not None
    assert photograph.picture.shape == (512, 1024, 3)
    assert photograph.picture.dtype == np.uint8
    assert read(fetched(png(), "v1", "v1")).picture is None


def test_the_window_of_the_model_says_what_is_black_and_white() -> None:
    data = fetched(twelve_bits(), "v1", "v1")
    alone = read(data).failure
    assert alone is not None
    assert "input.window" in alone.error
    asked = read(data, overlays=True, window=Window(0, 4095))
    assert asked.window == AppliedWindow(0, 4095, "input.window")
    picture = asked.picture
    assert picture is not None
    assert picture[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("answer", "prepared", "error_class", "says"),
    [
        (DatasetError("no such file"), "prepared", "missing", "no such file"),
        (ValueError("embedded null byte"), "prepared", "missing", "it could not be fetched: embedded null"),
        (DatasetError("no file a\0\udcff"), "prepared", "missing", "no file a\\0\\udcff"),
        (fetched(b"", "v2", "v1"), "prepared", "changed", "version v2, the manifest lists v1"),
        (fetched(b"not a picture", "v1", "v1"), "prepared", "unreadable", "not a photograph"),
        (fetched(png(), "v1", "v1"), MethodError("too wide"), "preparation", "too wide"),
        (fetched(png(), "v1", "v1"), MemoryError(), "preparation", "more memory than there is"),
        (fetched(png(), "v1", "v1"), ZeroDivisionError(), "preparation", "could not be prepared"),
    ],
)
def test_whatever_is_wrong_with_an_image_is_its_failure(
    answer: Fetched | Exception, prepared: object, error_class: str, says: str
) -> None:
    photograph = read(answer, prepared)
    assert photograph.prepared is None
    assert photograph.failure is not None
    assert photograph.failure.error_class == error_class
    assert says in photograph.failure.error
    expected = ImageStatus.CHANGED if error_class == "changed" else ImageStatus.ERROR
    assert photograph.failure.status is expected


def test_boxes_that_cannot_be_fitted_cost_their_own_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: object) -> None:
        raise ZeroDivisionError("no side")

    monkeypatch.setattr(photographs, "settle_boxes", fit)
    failure = read(fetched(png(), "v1", "v1")).failure
    assert failure is not None
    assert (failure.error_class, "no side" in failure.error) == ("preparation", True)


@pytest.mark.parametrize(
    "error", [Unavailable("the bucket is away"), StoreError("no keys"), OSError("too many open files")]
)
def test_an_outage_and_a_fault_of_this_machine_are_no_images_failure(error: Exception) -> None:
    with pytest.raises(type(error)):
        read(error)

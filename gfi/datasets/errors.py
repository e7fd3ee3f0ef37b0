"""Errors of datasets. `str(error)` is one line that says what to do."""

from gfi.store.errors import Transient


class DatasetError(Exception):
    """The dataset, its manifest or one of its images is invalid. Another attempt would fail too."""


class DecodeError(DatasetError):
    """These bytes are not a photograph that can be decoded. The cause is the image, never the machine."""


class Unavailable(DatasetError, Transient):
    """The storage did not answer (a server, a network file system); the image is not the cause. Try again.

    Catch it, or `Transient`, before DatasetError.
    """

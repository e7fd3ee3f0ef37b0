"""What can go wrong with a dataset. `str(error)` is one line that says what to do about it."""

from gfi.store.errors import Transient


class DatasetError(Exception):
    """The dataset, its manifest or one of its images is not what it should be. Trying again is no use."""


class DecodeError(DatasetError):
    """These bytes are not a photograph we can show to a network. Blames the image, never the machine."""


class Unavailable(DatasetError, Transient):
    """The medium did not answer (a server, a network file system); the image is not to blame. Try again.

    Catch it, or `Transient`, before DatasetError.
    """

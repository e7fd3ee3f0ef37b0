"""An object of the bucket as a file that can be read at any place.

    with ObjectFile(bucket, key) as file:
        (entry,) = Manifest.open(Path(key), file).pick([row])

Each read is one request for the bytes that it needs, so one row group of a large manifest is read without the rest.
"""

import io

from gfi.store.errors import NotFound
from gfi.store.objects import Bucket


class ObjectFile(io.RawIOBase):
    """A readable, seekable file. Raises NotFound when there is no such object. Not thread-safe."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        super().__init__()
        found = bucket.head(key)
        if found is None:
            raise NotFound(f"{bucket.place}/{key} does not exist")
        self._bucket, self._key, self._size, self._at = bucket, key, found.size, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, or all that are left."""
        end = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if self._at >= end:
            return b""
        chunks = self._bucket.stream(self._key, f"bytes={self._at}-{end - 1}").chunks
        data = b"".join(chunks)
        self._at += len(data)
        return data

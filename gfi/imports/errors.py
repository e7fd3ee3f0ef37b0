"""The error of imports."""

from gfi.store.errors import StoreError


class ImportRefused(StoreError):
    """These masks cannot be imported; the text says which, why, and what to do."""

"""The error of exports."""

from gfi.store.errors import StoreError


class ExportError(StoreError):
    """The export cannot be made as it was asked for; the text says why and what to do."""

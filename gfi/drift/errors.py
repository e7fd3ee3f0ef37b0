"""The error of comparisons and gates."""

from gfi.store.errors import StoreError


class DriftError(StoreError):
    """The comparison or the gate file is not possible; one line says why and what to do."""

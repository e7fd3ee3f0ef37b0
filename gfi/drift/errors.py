"""The error of comparisons and gates."""

from gfi.store.errors import StoreError


class DriftError(StoreError):
    """The comparison or the gate file asks for something that is not possible; one line says what and what to do."""

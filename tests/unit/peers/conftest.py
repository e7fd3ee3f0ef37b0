"""The tiny network and the batch that the tests of metrics use."""

from tests.unit.metrics.conftest import batch, net, one_thread

__all__ = ["batch", "net", "one_thread"]

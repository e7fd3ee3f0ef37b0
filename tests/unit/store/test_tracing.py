"""Traces are off without an endpoint, and where the packages are missing. The spans: tests/service/workers."""

import sys
from collections.abc import Iterator

import pytest

from gfi.store import tracing


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A process that has recorded nothing yet, and without variables of OpenTelemetry."""
    for name in (*tracing.ENDPOINTS, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    tracing._tracer.cache_clear()
    yield monkeypatch
    tracing._tracer.cache_clear()


def test_without_an_endpoint_nothing_is_imported(fresh: pytest.MonkeyPatch) -> None:
    fresh.setitem(sys.modules, "opentelemetry", None)  # an import of it fails
    with tracing.called_by({"traceparent": "x"}), tracing.span("shard", "job", images=2) as note:
        note(outcome="done")
    tracing.submitted("job", 0)
    tracing.ended("claim", "job", 0)


def test_an_endpoint_without_the_packages_is_said_and_does_not_stop_the_work(
    fresh: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    fresh.setitem(sys.modules, "opentelemetry", None)
    for _ in range(2):
        with tracing.span("shard", "job"):
            pass
    said = capsys.readouterr()
    assert (said.out + said.err).count("gfi[otel]") == 1


def test_the_ids_of_a_trace_follow_from_the_job() -> None:
    assert tracing.ids_of("job") == tracing.ids_of("job") != tracing.ids_of("other")
    trace_id, span_id = tracing.ids_of("job")
    assert 0 < trace_id < 2**128
    assert 0 < span_id < 2**64

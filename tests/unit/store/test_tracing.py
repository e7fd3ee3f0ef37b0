"""Traces are off without an endpoint, and where the packages are missing or refuse a setting; they stop no work. The
spans: tests/service/workers."""

import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from gfi.store import tracing


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A process that has recorded nothing yet, and without variables of OpenTelemetry."""
    for name in (*tracing.ENDPOINTS, *tracing.TIMEOUTS, "OTEL_SDK_DISABLED"):
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


@pytest.mark.parametrize(
    ("name", "refused"), [("OTEL_BSP_MAX_QUEUE_SIZE", "256"), ("OTEL_PROPAGATORS", "tracecontext,none_such")]
)
def test_a_setting_that_opentelemetry_refuses_is_said_once_and_stops_no_work(
    fresh: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, refused: str
) -> None:
    fresh.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    fresh.setenv(name, refused)
    fresh.delitem(sys.modules, "opentelemetry.propagate", raising=False)
    fresh.delattr("opentelemetry.propagate", raising=False)  # it reads its variable when it is imported
    for _ in range(2):
        tracing.ended("claim", "job", 0)
        tracing.submitted("job", 0)
        with tracing.called_by({}), tracing.span("hint", "job") as note:
            note(outcome="done")
    said = capsys.readouterr()
    assert (said.out + said.err).count("no traces") == 1


def test_a_span_that_cannot_be_recorded_stops_no_work(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(tracing, "_tracer", cache(object))  # it can start no span
    tracing.ended("claim", "job", 0)
    tracing.submitted("job", 0)
    with tracing.span("hint", "job") as note:
        note(outcome="done")
    with pytest.raises(ZeroDivisionError), tracing.span("shard", "job"):
        raise ZeroDivisionError


def test_the_end_of_a_process_waits_two_seconds_for_a_collector(fresh: pytest.MonkeyPatch) -> None:
    assert tracing.SHUTDOWN_S == 2.0
    at_exit: list[Callable[[], None]] = []
    fresh.setattr("atexit.register", at_exit.append)
    fresh.setattr(tracing, "SHUTDOWN_S", 0.01)
    fresh.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    tracer: Any = tracing._tracer()
    (processor,) = tracer.span_processor._span_processors
    assert processor.span_exporter._client._timeout == tracing.SHUTDOWN_S
    tracing.ended("claim", "job", 0)
    (end,) = at_exit  # the SDK has no handler of its own
    end()
    tracing.within(0.01, threading.Event().wait)()  # what never ends is not waited for


def test_the_ids_of_a_trace_follow_from_the_job() -> None:
    assert tracing.ids_of("job") == tracing.ids_of("job") != tracing.ids_of("other")
    trace_id, span_id = tracing.ids_of("job")
    assert 0 < trace_id < 2**128
    assert 0 < span_id < 2**64

"""OpenTelemetry spans of a job, from its submission to its commits: `gfi[otel]`.

    submit → plan → hint → claim → shard → upload, commit

All spans of a job are one trace. The ids of the trace and of its first span follow from the job's id, which every row,
claim and hint has already: so nothing else is stored or sent, workers of any version fit in, and a shard that is
explained a week later, or after a restart, is in the trace of its job. (A message is only a hint, and its receiver may
claim something else: a context inside the message would name the wrong job.)

Nothing is imported or recorded unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set. The
exporter reads these and the other variables of OpenTelemetry.

Traces never stop the work that they describe: what fails in OpenTelemetry is logged once and recorded nowhere, and the
end of a process waits SHUTDOWN_S for spans that are not sent yet.
"""

import atexit
import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import structlog

from gfi import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor, Tracer
    from opentelemetry.trace import Span

log = structlog.get_logger(__name__)
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
SHUTDOWN_S = 2.0
"""The longest that a process waits at its end for its spans to be sent. Sending a batch takes as long at most, unless a
variable of TIMEOUTS is set."""
Value = str | int | float | bool
Note = Callable[..., None]
"""Adds attributes to a span: `note(outcome="done")`."""
_first_span: ContextVar[str | None] = ContextVar("first_span", default=None)
"""The job whose first span is being made: it takes the ids that follow from the job."""


def ids_of(job_id: str) -> tuple[int, int]:
    """The ids of the trace of a job (128 bits) and of its first span (64 bits); neither is 0."""
    digest = hashlib.sha256(f"gfi trace {job_id}".encode()).digest()
    return int.from_bytes(digest[:16]) | 1, int.from_bytes(digest[16:24]) | 1


@contextlib.contextmanager
def span(name: str, job_id: str | None = None, **attributes: Value | None) -> Iterator[Note]:
    """A span around the block, in the trace of the job; without a job, below the span that is open.

    Attributes that are None are left out. An error that leaves the block is recorded and goes on.
    """
    opened: Span | None = None

    def note(**more: Value | None) -> None:
        if opened is not None:
            opened.set_attributes(_attributes(None, more))

    with contextlib.ExitStack() as stack:
        with _harmless():
            if (tracer := _tracer()) is not None:
                opened = stack.enter_context(
                    tracer.start_as_current_span(
                        name, context=_in_trace(job_id), attributes=_attributes(job_id, attributes)
                    )
                )
        yield note


def ended(name: str, job_id: str | None, began_ns: int, **attributes: Value | None) -> None:
    """A span that began at `began_ns` (`time.time_ns`) and ends now, of work whose job is known only at its end."""
    with _harmless():
        if (tracer := _tracer()) is not None:
            tracer.start_span(
                name, _in_trace(job_id), attributes=_attributes(job_id, attributes), start_time=began_ns
            ).end()


def submitted(job_id: str, began_ns: int, **attributes: Value | None) -> None:
    """The first span of a new job. It links to the span that is open, such as that of the caller of the API."""
    token = _first_span.set(job_id)
    try:
        with _harmless():
            if (tracer := _tracer()) is not None:
                from opentelemetry.context import Context
                from opentelemetry.trace import Link, get_current_span

                caller = get_current_span().get_span_context()
                tracer.start_span(
                    "submit",
                    Context(),
                    attributes=_attributes(job_id, attributes),
                    links=[Link(caller)] if caller.is_valid else [],
                    start_time=began_ns,
                ).end()
    finally:
        _first_span.reset(token)


@contextlib.contextmanager
def called_by(headers: Mapping[str, str]) -> Iterator[None]:
    """The block is the work of a caller that sent `traceparent`, if it did: a job that it submits links to it."""
    with contextlib.ExitStack() as stack:
        with _harmless():
            if _tracer() is not None:
                from opentelemetry import context, propagate

                stack.callback(context.detach, context.attach(propagate.extract(headers)))
        yield


@contextlib.contextmanager
def _harmless() -> Iterator[None]:
    """Recording a span: an error ends the block and is logged, and the work that is recorded goes on."""
    try:
        yield
    except Exception as error:
        _say_once(type(error).__name__, str(error))


@lru_cache(maxsize=16)
def _say_once(kind: str, reason: str) -> None:
    log.warning("a span is not recorded", reason=f"{kind}: {reason}")


@cache
def _tracer() -> "Tracer | None":
    """This process's tracer, made at first use; None where traces are off."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    try:
        from opentelemetry import propagate  # noqa: F401 (its import fails if OTEL_PROPAGATORS names an unknown one)
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        timeout = None if any(os.environ.get(name) for name in TIMEOUTS) else SHUTDOWN_S
        return tracer_to(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    except ImportError as error:
        log.warning("no traces", reason=str(error), do='pip install "gfi[otel]"')
    except Exception as error:  # its SDK refuses settings with errors of many kinds
        log.warning("no traces", reason=str(error), do="correct the variables OTEL_… and restart")
    return None


def tracer_to(processor: "SpanProcessor") -> "Tracer":
    """A tracer whose spans go to `processor`. OTEL_SERVICE_NAME names this process, by default gfi."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import RandomIdGenerator, TracerProvider

    class Ids(RandomIdGenerator):
        """Random ids, but for the first span of a job."""

        def generate_trace_id(self) -> int:
            job_id = _first_span.get()
            return super().generate_trace_id() if job_id is None else ids_of(job_id)[0]

        def generate_span_id(self) -> int:
            job_id = _first_span.get()
            return super().generate_span_id() if job_id is None else ids_of(job_id)[1]

    service = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "gfi", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(service), id_generator=Ids(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    atexit.register(within(SHUTDOWN_S, provider.shutdown))
    tracer: Any = provider.get_tracer("gfi", __version__)
    return tracer


def within(seconds: float, end: Callable[[], object]) -> Callable[[], None]:
    """A function that calls `end` and returns when that has returned, or after `seconds`.

    Its thread is started now, because none can be started at the end of a process.
    """
    asked = threading.Event()

    def wait_and_end() -> None:
        asked.wait()
        end()

    thread = threading.Thread(target=wait_and_end, name="traces", daemon=True)
    thread.start()

    def ended_or_late() -> None:
        asked.set()
        thread.join(seconds)

    return ended_or_late


def _in_trace(job_id: str | None) -> "Context | None":
    """The context whose spans are below the first one of a job; None: below the span that is open."""
    if job_id is None:
        return None
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    trace_id, span_id = ids_of(job_id)
    first = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(first), Context())


def _attributes(job_id: str | None, attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    named = {"job": job_id, **attributes}
    return {f"gfi.{name}": value for name, value in named.items() if value is not None}

"""Structured logs: one JSON object per line on stderr, with job, shard and fence where they apply.

No secret is logged on purpose; as a second precaution, the values of keys whose names suggest a secret are hidden.
"""

import io
import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

SECRET_WORDS = ("secret", "password", "token", "authorization", "access_key")


def _without_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event:
        if any(word in key.lower() for word in SECRET_WORDS):
            event[key] = "***"
    return event


class _Stderr(io.TextIOBase):
    """stderr as it is when a line is written: it may be replaced after the logs were set up."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logs() -> None:
    """Set up structlog for this process. GFI_LOG_FORMAT=text prints readable lines instead of JSON."""
    text = os.environ.get("GFI_LOG_FORMAT") == "text" or (
        "GFI_LOG_FORMAT" not in os.environ and sys.stderr.isatty()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            getattr(logging, os.environ.get("GFI_LOG_LEVEL", "INFO").upper(), logging.INFO)
        ),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )

"""The flags of a job on the command line, made from `gfi.domain.job.JobOptions`.

A new field of `JobOptions` becomes a new flag without a change in this file. The tables below hold what differs on a
command line: the names of flags, and how their texts are read.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

import click
from pydantic_core import PydanticUndefined

from gfi.cli.errors import CommandError
from gfi.cli.reading import words
from gfi.domain.job import JobOptions

if TYPE_CHECKING:
    from gfi.jobs.submit import JobRequest

FLAGS = {"overrides": "--set", "allow_shrunk": "--yes"}
"""Flags whose name differs from the field's."""

_NO_DEFAULT = (None, "", (), 0.0, PydanticUndefined)
"""Defaults that a help text does not show."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

METAVARS = {
    "since": "JOB",
    "verify": "SHARE",
    "overrides": "FIELD=VALUE",
    "layers": "L0,L1",
    "dataset": "SPEC",
}


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add a flag for every option of a job; `options_of` reads them."""
    for name, field in reversed(JobOptions.model_fields.items()):
        if field.annotation is bool:
            flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
            command = click.option(flag, name, is_flag=True, help=field.description)(command)
            continue
        command = click.option(
            FLAGS.get(name, f"--{name.replace('_', '-')}"),
            name,
            required=field.is_required(),
            multiple=name == "overrides",
            metavar=METAVARS.get(name, name.upper()),
            help=field.description,
            show_default=str(field.default)
            if field.default not in _NO_DEFAULT and not field.is_required()
            else False,
        )(command)
    return command


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The given flags as options of JobOptions. CommandError for one that cannot be read."""
    options: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None and value != () and value is not False:
            options[name] = _READERS[name](value) if name in _READERS else value
    return options


def request_of(options: Mapping[str, Any]) -> "JobRequest":
    """What a job is asked, by somebody who may tell its addresses. Raises Invalid."""
    from gfi.jobs.submit import request_from

    request = request_from(**options)
    if request.webhook is not None or request.email is not None:
        from gfi.cli.home import notify_settings
        from gfi.jobs.notify_addresses import check_addresses

        check_addresses(request, notify_settings())
    return request


def overrides_of(given: tuple[str, ...]) -> dict[str, object]:
    """The fields of `FIELD=VALUE` texts. A value is JSON; one that is not JSON is taken as a string."""
    fields: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"--set {text}: write FIELD=VALUE, for example steps_class=24")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    return fields


def _saved(text: str) -> tuple[str, ...]:
    return () if text == "none" else words(text)


def _absolute(spec: str) -> str:
    """Paths are made absolute, because workers have another working directory; addresses, names of datasets and uploads
    are not changed.

    >>> _absolute("classes:s3://bucket/birds?split=val"), _absolute("voc:/data/VOC2007?split=test")
    ('classes:s3://bucket/birds?split=val', 'voc:/data/VOC2007?split=test')
    """
    if spec.startswith(("@", "upload:")):
        return spec
    head, colon, rest = spec.partition(":")
    kind = f"{head}:" if colon and head.isalpha() and len(head) > 1 and not rest.startswith("//") else ""
    place, mark, options = spec.removeprefix(kind).rpartition("?")
    if not mark or "=" not in options:  # `?` is also a wildcard in names of shards
        place, mark, options = spec.removeprefix(kind), "", ""
    return f"{kind}{_absolute_path(place)}{mark}{'&'.join(map(_absolute_root, options.split('&')))}"


def _absolute_path(place: str) -> str:
    return place if _ADDRESS.match(place) else str(Path(place).expanduser().absolute())


def _absolute_root(option: str) -> str:
    """An option of a dataset, of which `root` is a path."""
    name, _, value = option.partition("=")
    return f"root={quote(_absolute_path(unquote_plus(value)), safe='/:,')}" if name == "root" else option


def _number(flag: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise CommandError(f"{flag} {text}: write a whole number") from None

    return read


_READERS: dict[str, Callable[[Any], object]] = {
    "dataset": _absolute,
    "overrides": overrides_of,
    "metrics": words,
    "tags": words,
    "save": _saved,
    "top": _number("--top"),
    "priority": _number("--priority"),
    "batch": _number("--batch"),
}

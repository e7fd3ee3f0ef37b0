"""Submits a job: its options are checked and frozen before anything runs.

The CLI, the HTTP API and schedules all call `submit`. It needs no torch: the layers, input size, class names and digest
of the model were recorded when it was registered. The frozen configuration names every hyper-parameter, so that a job
keeps its meaning when the code or the presets change.
"""

import difflib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import Field, ValidationError

from gfi.datasets.sources import open_source
from gfi.domain import layer_names, metrics
from gfi.domain.class_index import ClassIndex
from gfi.domain.job import LABELS, DatasetRef, JobConfig, JobOptions, ModelRef
from gfi.domain.layer_names import Layers
from gfi.domain.methods import OWN, method_named
from gfi.domain.presets import DEFAULT_PRESET, recipe_of_method
from gfi.domain.recipes import Recipe
from gfi.domain.records import EMAIL, WEBHOOK, JobSpec, NotifyTarget, Submitted
from gfi.jobs.estimate import count
from gfi.jobs.routing import queue_of
from gfi.store import ledger, queries, tracing
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.settings import Settings


class Invalid(StoreError):
    """The request names something that does not exist or is not valid; nothing was stored."""


class JobRequest(JobOptions):
    """The options of a job, and its owner."""

    owner: str = Field(default="", max_length=200)


def request_from(**fields: Any) -> JobRequest:
    """A JobRequest. Raises Invalid with one line that names the wrong field."""
    try:
        return JobRequest(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        given = first.get("input")
        # Of a field that is missing, `input` is the whole request; and a webhook's address may contain a secret.
        shown = name not in (WEBHOOK, EMAIL) and not isinstance(given, dict | JobRequest)
        raise Invalid(f"{name}: {first['msg']}" + (f", not {given!r:.200}" if shown else "")) from None


def freeze(database: Database, settings: Settings, request: JobRequest) -> JobConfig:
    """The complete configuration of a job. Raises Invalid, DatasetError or MethodError with advice."""
    model = _model(database, request.model)
    record = model.record
    chosen = recipe_of(request)
    _check_channels(request, chosen, record)
    preset = chosen.name
    layers = layers_of(request, record)
    for metric in request.metrics:
        if metric not in metrics.CATALOGUE:
            raise Invalid(f"metric {metric!r} does not exist; choose one of {', '.join(metrics.CATALOGUE)}")
    _check_top(request, record)
    target = _target(request.target if request.top == 1 else "predicted", record)
    source = open_source(request.dataset, settings)
    return JobConfig(
        dataset=DatasetRef(source.spec, source.kind),
        model=ModelRef(model.reference, model.digest, model.version),
        preset=preset,
        recipe=chosen,
        layers=layers,
        target=target,
        foil=_foil(request.rather_than, target, record),
        top=request.top,
        metrics=tuple(sorted(set(request.metrics))),
        save=tuple(sorted(set(request.save))) if request.save is not None else None,
        batch=request.batch,
        thumbnails=request.thumbnails,
        features=request.features,
        most_images=request.most_images,
    )


def spec_of(
    database: Database,
    settings: Settings,
    request: JobRequest,
    *,
    idempotency_key: str | None = None,
    new: bool = False,
    sample: dict[str, Any] | None = None,
) -> JobSpec:
    """The frozen job of a request. sample: see `JobConfig.sample`. Raises as `freeze` does."""
    config, record = (
        replace(freeze(database, settings, request), sample=sample),
        _model(database, request.model).record,
    )
    since, queue = None, queue_of(database, config, record, request.queue)
    if request.since is not None:
        parent = parent_of(database, config, request.since)
        if parent.device_kind is not None:
            queue = request.queue  # results are carried over on the earlier job's kind of device only
        since = {
            "job": parent.id,
            "verify": request.verify,
            "allow_shrunk": request.allow_shrunk,
        }
    elif request.verify or request.allow_shrunk:
        raise Invalid("verify and allow_shrunk go with since")
    return JobSpec(
        config=config.to_json(),
        model=record,
        name=request.name,
        priority=request.priority,
        queue=queue,
        routed=queue != request.queue,
        owner=request.owner,
        idempotency_key=idempotency_key,
        new=new,
        notify=tuple(
            NotifyTarget(channel, address)
            for channel, address in ((WEBHOOK, request.webhook), (EMAIL, request.email))
            if address is not None
        ),
        tags=tuple(dict.fromkeys(request.tags)),
        since=since,
    )


def parent_of(database: Database, config: JobConfig, since: str) -> queries.Job:
    """The earlier job of an incremental one. Raises NotFound, or Invalid if nothing can be carried over from it."""
    parent = queries.get_job(database, since)
    if not parent.ended:
        raise Invalid(f"since: job {parent.id} is {parent.shown_state}; wait for its end")
    if parent.config.imported is not None:
        raise Invalid(
            f"since: the masks of job {parent.id} were imported, so they are carried over to no other job"
        )
    if parent.config.dataset != config.dataset:
        raise Invalid(
            f"since: job {parent.id} explains {parent.config.dataset.spec}, not {config.dataset.spec}; "
            "results are carried over between jobs of one dataset"
        )
    return parent


def submit(
    database: Database,
    settings: Settings,
    request: JobRequest,
    *,
    idempotency_key: str | None = None,
    new: bool = False,
    count_images: Callable[[str], int] | None = None,
) -> Submitted:
    """Validate, freeze and store a job; the scheduler plans it.

    The same idempotency key returns its job; without one, the same configuration as an active job returns that job
    (`new` starts another). count_images: counts the images of a dataset, as far as that is quick, where the owner may
    have only so many; None: they are counted in this process.
    """
    began_ns = time.time_ns()
    spec = spec_of(database, settings, request, idempotency_key=idempotency_key, new=new)
    most = ledger.most_images(database, request.owner)
    if most is not None:  # the length of a long listing is known only after planning, which checks it again
        if count_images is None:
            images, _ = count(open_source(request.dataset, settings), most + 1)
        else:
            images = count_images(request.dataset)
        ledger.check_images(most, min(images, request.most_images or images))
    submitted = ledger.submit_job(database, spec, max_active_jobs=settings.max_active_jobs)
    if submitted.created:
        tracing.submitted(submitted.job_id, began_ns, dataset=request.dataset, model=request.model)
    return submitted


def _check_spatial(layers: Layers, record: dict[str, Any]) -> None:
    """Raise Invalid unless the maps of the mask's layers have more than one cell."""
    described = {layer["name"]: layer for layer in record["layers"]}
    for layer in layers.mask_layers:
        name, tokens, _ = layer_names.parse_layer(layer)
        shape = described[name]["shape"]
        if tokens != described[name].get("tokens", False):  # older records of models have no `tokens`
            suffix = layer_names.TOKENS
            raise Invalid(
                f"layer {name} of {record['reference']} "
                + (
                    f"gives no tokens; leave {suffix} out"
                    if tokens
                    else f"gives tokens; write {name}{suffix}"
                )
            )
        if not tokens and (len(shape) != 3 or shape[1] * shape[2] < 2):
            size = "×".join(map(str, shape))
            raise Invalid(
                f"layer {layer} of {record['reference']} gives {size}; a mask is made from channels × h × w"
            )


def _model(database: Database, reference: str) -> queries.Model:
    """The registered model. Raises Invalid with near matches."""
    model = queries.find_model(database, reference)
    if model is None:
        known = [registered.reference for registered in queries.list_models(database)]
        near = difflib.get_close_matches(reference, known, n=3, cutoff=0.5)
        raise Invalid(
            f"model {reference!r} is not registered; "
            + (
                f"near matches: {', '.join(near)}; "
                if near
                else f"registered: {', '.join(known) or 'none'}; "
            )
            + f"`gfi models add {reference}` registers it"
        )
    return model


def recipe_of(request: JobRequest) -> Recipe:
    """The recipe of a request's method and preset. Raises MethodError."""
    return recipe_of_method(request.method, request.preset, **request.overrides)


def layers_of(request: JobRequest, record: dict[str, Any]) -> Layers:
    """The layers of this job: those of the request, or those that the recipe chooses on the model.

    A peer reads the inverted layer of `tuned`; only Grad-CAM and Opti-CAM depend on it.
    """
    chosen_by = request.preset or DEFAULT_PRESET
    if request.layers is not None:
        layers = Layers.parse(request.layers)
        layer_names.check_layers(
            layers, [(layer["name"], layer["type"]) for layer in record["layers"]], record["reference"]
        )
        _check_spatial(layers, record)
        return layers
    chosen = record["chosen"].get(chosen_by)
    if chosen is None:
        raise Invalid(
            f"{record['reference']} was registered before preset {chosen_by!r} existed; "
            f"`gfi models add {record['reference']}` registers it again"
        )
    if "error" in chosen:
        raise Invalid(f"{chosen['error']}; name layers with --layers L0,L1")
    layers = Layers.from_json(chosen)
    if method_named(request.method) != OWN:
        layers = Layers(layers.inverted, layers.mask_layers[:1])
    _check_spatial(layers, record)
    return layers


def _check_channels(request: JobRequest, chosen: Recipe, record: dict[str, Any]) -> None:
    """Raise Invalid for what needs colour or grey, of a model with another number of channels."""
    channels = record.get("preprocess", {}).get("channels", 3)
    if channels in (1, 3):
        return
    if chosen.fill == "blur" and chosen.fill_from == "photograph":
        raise Invalid(
            f"the preset blurs whole photographs, which have 1 or 3 channels; {record['reference']} takes {channels}: "
            "use the preset tuned or paper"
        )
    if "photograph_fill" in request.metrics:
        raise Invalid(
            f"photograph_fill fills with colour photographs; {record['reference']} takes {channels} channels: "
            "use the metrics deletion and insertion"
        )


def _target(target: str | int, record: dict[str, Any]) -> str | int:
    if target in ("auto", "predicted", LABELS):
        return target
    return _class("target", target, record, ", `auto`, `predicted` or `labels`")


def _check_top(request: JobRequest, record: dict[str, Any]) -> None:
    if request.target == LABELS and request.rather_than is not None:
        raise Invalid("target: each label is explained for itself; leave rather_than out")
    if request.top == 1:
        return
    if request.target not in ("auto", "predicted") or request.rather_than is not None:
        raise Invalid("top: the most probable classes are explained; leave target and rather_than out")
    if request.top > (classes := class_index(record).count):
        raise Invalid(f"top: {record['reference']} has {classes} classes, not {request.top}")


def _foil(foil: str | int | None, target: str | int, record: dict[str, Any]) -> int | None:
    if foil is None:
        return None
    index = _class("rather_than", foil, record)
    if index == target:
        raise Invalid(f"rather_than: {foil!r} is the target itself; choose another class to contrast it with")
    return index


def class_index(record: dict[str, Any]) -> ClassIndex:
    """The classes of a registered model."""
    return ClassIndex.of(record["class_names"], record["wordnet_ids"], record.get("classes", 0))


def _class(what: str, wanted: str | int, record: dict[str, Any], also: str = "") -> int:
    """The index of a class of the model. Raises Invalid with near matches."""
    index = class_index(record).find(wanted)
    if index is None:
        near = difflib.get_close_matches(str(wanted), record["class_names"], n=3, cutoff=0.5)
        raise Invalid(
            f"{what} {wanted!r} is not a class of {record['reference']}"
            + (f"; near matches: {', '.join(near)}" if near else "")
            + f"; give a class index, WordNet id or name{also}"
        )
    return index

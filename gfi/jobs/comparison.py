"""Another method beside a job's: the job that explains the same images with it, found or to be submitted.

A comparison holds all else fixed: dataset, model (by its digest), question (target, rather than which class) and
metrics are the job's; the method brings its own hyper-parameters and layers. A job of its own does it, so that it is
queued, resumed, measured and kept like any other, and two galleries are one join over the images' keys.

    paper, released, tuned     the presets
    grad-cam                   where `tuned` starts, and stops before its first step: Grad-CAM's map of l0, within the
                               rounding of one interpolation (0.007 at most on the samples)
"""

from dataclasses import dataclass
from typing import Any

from gfi.domain.digests import JSON
from gfi.domain.errors import MethodError
from gfi.domain.presets import PRESETS, recipe
from gfi.domain.states import JobState
from gfi.jobs.submit import Invalid, JobRequest, layers_of
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.queries import Job

GRAD_CAM = "grad-cam"
METHODS = (*PRESETS, GRAD_CAM)
_AT_THE_START = {"steps_inversion": 0, "steps_class": 0, "two_grids": False, "one_layer": True}
_NO_USE = (JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Comparison:
    """A method that a job can be compared with. job: the newest that did so; None when there is none yet. own: it is
    the job's own method. reason: why it cannot be asked for, None when it can.
    """

    method: str
    job: Job | None = None
    own: bool = False
    reason: str | None = None


def request_for(database: Database, job: Job, method: str, owner: str) -> JobRequest:
    """The same job by another method. Raises Invalid when the model has changed, or has no layers for it."""
    config = job.config
    name, overrides, layers = method, {}, None
    model = queries.find_model(database, config["model"]["reference"])
    if model is None or model.digest != config["model"]["digest"]:
        raise Invalid(
            f"model {config['model']['reference']} is not the one that job {job.id} explained: it was registered anew "
            "since; submit both methods again"
        )
    if method == GRAD_CAM:
        name, overrides = "tuned", _AT_THE_START
        inverted = model.record["chosen"].get("tuned", {}).get("inverted")
        if inverted is None:
            raise Invalid(f"{model.reference} has no layers for tuned, where Grad-CAM's are taken from")
        layers = f"{inverted},{inverted}"
    elif method not in PRESETS:
        raise Invalid(f"method {method!r} does not exist here; there are {', '.join(METHODS)}")
    return JobRequest(
        dataset=config["dataset"]["spec"],
        model=model.reference,
        preset=name,
        overrides=overrides,
        layers=layers,
        metrics=tuple(config["metrics"]),
        save=(),
        name=f"{job.name or job.id}: {method}"[:200],
        queue=job.queue,
        owner=owner,
        **_question(config),
    )


def _question(config: JSON) -> JSON:
    """What is asked of each image."""
    return {name: config[name] for name in ("target", "rather_than", "top") if config.get(name) is not None}


def list_comparisons(database: Database, job: Job) -> tuple[list[Comparison], list[Job]]:
    """Every method beside a job, and all other jobs over its dataset, newest first."""
    others = queries.jobs_over(database, job.config["dataset"]["spec"])
    found = []
    for method in METHODS:
        try:
            request = request_for(database, job, method, "")
            mark = _mark(database, request)
        except (Invalid, MethodError) as error:
            found.append(Comparison(method, reason=str(error)))
            continue
        same = [each for each in others if _same(each, job.config, mark)]
        own = any(each.id == job.id for each in same)
        there = [each for each in same if each.id != job.id and each.state not in _NO_USE]
        found.append(Comparison(method, there[0] if there else None, own))
    return found, [each for each in others if each.id != job.id]


def _mark(database: Database, request: JobRequest) -> JSON:
    """What a configuration says of its method."""
    model = queries.find_model(database, request.model)
    assert model is not None
    assert request.preset is not None
    return {
        "method_digest": recipe(request.preset, **request.overrides).digest(),
        "layers": layers_of(request, model.record),
    }


def _same(other: Job, config: JSON, mark: JSON) -> bool:
    def of(what: JSON) -> Any:
        return (what["model"]["digest"], _question(what))

    return of(other.config) == of(config) and all(other.config.get(name) == mark[name] for name in mark)

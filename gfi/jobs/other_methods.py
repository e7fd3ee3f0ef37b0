"""Other methods: the job that explains the same images as a given job with another method.

Only the method differs, with its own hyper-parameters and layers: dataset, model (by its digest), target, foil and
metrics are those of the given job. It is a separate job, so that it is queued, resumed, measured and stored
like any other; the two jobs are joined by the images' keys.

    paper, released, tuned                                      the presets
    grad-cam, integrated-gradients, occlusion, rise, opti-cam   the other methods (`gfi.domain.methods`)
"""

from dataclasses import dataclass

from gfi.domain.errors import MethodError
from gfi.domain.job import JobConfig
from gfi.domain.layer_names import Layers
from gfi.domain.methods import OWN, PEERS
from gfi.domain.presets import PRESETS
from gfi.domain.recipes import Recipe
from gfi.domain.states import JobState
from gfi.jobs.submit import Invalid, JobRequest, layers_of, recipe_of
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.queries import Job

METHODS = (*PRESETS, *PEERS)
_WITHOUT_RESULTS = (JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class OtherMethod:
    """A method to compare a job with.

    job: the newest job that explains the same images with it, None when there is none. own: it is the job's own method.
    reason: why it is not possible, None when it is.
    """

    method: str
    job: Job | None = None
    own: bool = False
    reason: str | None = None


def request_for(database: Database, job: Job, method: str, owner: str) -> JobRequest:
    """The same job with another method. Raises Invalid if the model has changed or has no layers for the method."""
    config = job.config
    model = queries.model_of(database, config.model)
    if model is None or model.digest != config.model.digest:
        raise Invalid(
            f"model {config.model.reference} was removed, or registered again, since job {job.id} was submitted; "
            "submit the job again with both methods"
        )
    if method not in METHODS:
        raise Invalid(f"method {method!r} does not exist; choose one of {', '.join(METHODS)}")
    return JobRequest(
        dataset=config.dataset.spec,
        model=f"{model.reference}@{model.version}",
        method=method if method in PEERS else OWN,
        preset=None if method in PEERS else method,
        metrics=config.metrics,
        save=(),
        name=f"{job.name or job.id}: {method}"[:200],
        queue=job.queue,
        owner=owner,
        target=config.target if config.top == 1 else "auto",
        rather_than=config.foil,
        top=config.top,
    )


def list_methods(database: Database, job: Job) -> tuple[list[OtherMethod], list[Job]]:
    """(every method to compare a job with, all other jobs over its dataset, newest first)."""
    jobs = queries.jobs_over(database, job.config.dataset.spec)
    methods = []
    for method in METHODS:
        try:
            request = request_for(database, job, method, "")
            wanted = _method_of(database, request)
        except (Invalid, MethodError) as error:
            methods.append(OtherMethod(method, reason=str(error)))
            continue
        same = [other for other in jobs if _explains_the_same(other.config, job.config, wanted)]
        own = any(other.id == job.id for other in same)
        usable = [other for other in same if other.id != job.id and other.state not in _WITHOUT_RESULTS]
        methods.append(OtherMethod(method, usable[0] if usable else None, own))
    return methods, [other for other in jobs if other.id != job.id]


def _method_of(database: Database, request: JobRequest) -> tuple[Recipe, Layers]:
    """The recipe and the layers of this request after it is frozen."""
    model = queries.find_model(database, request.model)
    assert model is not None
    return recipe_of(request), layers_of(request, model.record)


def _explains_the_same(other: JobConfig, config: JobConfig, method: tuple[Recipe, Layers]) -> bool:
    """Whether `other` is `config` with this method, for the same model."""

    def unchanged(of: JobConfig) -> tuple[object, ...]:
        return of.model.digest, of.target, of.foil, of.top

    return unchanged(other) == unchanged(config) and (other.recipe.digest(), other.layers) == (
        method[0].digest(),
        method[1],
    )

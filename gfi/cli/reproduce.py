"""`gfi reproduce`: the paper's experiments, as ordinary jobs of the running service."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gfi.cli.errors import CommandError
from gfi.cli.estimate import print_plan
from gfi.cli.home import home_directory, open_stack
from gfi.cli.printing import emit, json_option, table
from gfi.cli.reading import words
from gfi.domain.digests import finite
from gfi.domain.states import JobState

if TYPE_CHECKING:
    from gfi.cli.service import Service
    from gfi.domain.class_index import ClassIndex
    from gfi.method.classifiers import Classifier
    from gfi.reproduce.experiment import Ask, Experiment, Masked, Report

_TRIES = 100
"""Jobs of one configuration that may have failed before."""
_NOT_USABLE = (JobState.FAILED, JobState.CANCELLED)
"""A partial job is usable: an image without a result is an error in the tables."""


def _common(methods: str, model: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The flags that every experiment has."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(
            (
                click.option("--model", default=model, show_default=True, help="A registered model."),
                click.option(
                    "--methods",
                    default=methods,
                    show_default=True,
                    metavar="NAME,…",
                    help="Presets (paper, released, tuned) and other methods of a job (docs/method.md).",
                ),
                click.option(
                    "--images", type=click.IntRange(1), help="Only the first so many images. [default: all]"
                ),
                click.option(
                    "--work",
                    type=click.Path(path_type=Path),
                    help="Folder of the listings, which scheduler and workers can read. [default: .gfi/reproduce]",
                ),
                click.option("--dry-run", is_flag=True, help="Only print the jobs, with the plan of each."),
                click.option(
                    "-o",
                    "--output",
                    type=click.Path(path_type=Path),
                    help="Also write tables and numbers as JSON.",
                ),
                json_option,
            )
        ):
            command = option(command)
        return command

    return add


@click.group()
def reproduce() -> None:
    """Run an experiment of the paper on a directory and print its table with ours beside it.

    The jobs are those of `gfi submit`, on the service that runs here. Interrupt at any time: the jobs go on, and the
    same command continues with them. docs/reproduce.md says where the datasets are got.
    """


@reproduce.command("imagenet-localisation", short_help="Localisation error on ILSVRC.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--held-out",
    default=1000,
    show_default=True,
    type=click.IntRange(0),
    help="Training images on which the threshold is chosen; 0: none.",
)
@click.option("--seed", default=0, show_default=True, help="Of the draw of the training images.")
@click.option(
    "--blacklist",
    type=click.Path(path_type=Path),
    help="Numbers of images to leave out. [default: DIR/*devkit*/data/*validation_blacklist.txt]",
)
@click.option(
    "--classes", type=click.Path(path_type=Path), help="The class file. [default: DIR/LOC_synset_mapping.txt]"
)
@click.option(
    "--compare-layers", is_flag=True, help="Also pool4, conv5_3, conv5_4 and pool5 of VGG-19 as l1."
)
@_common("paper,released,tuned,grad-cam,rise", "torchvision:vgg19")
def imagenet_localisation(
    directory: Path,
    held_out: int,
    seed: int,
    blacklist: Path | None,
    classes: Path | None,
    compare_layers: bool,
    model: str,
    methods: str,
    images: int | None,
    **how: Any,
) -> None:
    """Localisation error on the validation images of ILSVRC.

    \b
    DIR/ILSVRC/Data/CLS-LOC/val/*.JPEG         as unpacked from Kaggle's archive
    DIR/ILSVRC/Annotations/CLS-LOC/val/*.xml
    DIR/ILSVRC/Data/CLS-LOC/train, Annotations/CLS-LOC/train      to choose the threshold
    """
    from gfi.reproduce import imagenet_localisation as experiment

    names, run = _methods(methods), _Run(model, **how)
    run.say(f"reading {directory}")
    options = experiment.Options(held_out, images, seed, blacklist, classes)
    tested, drawn = experiment.open_directory(directory, run.roots, run.classes, options)
    layers = None
    if compare_layers:
        if not {layer["name"] for layer in run.record["layers"]} >= set(experiment.VGG19_LAYERS.values()):
            raise CommandError(f"--compare-layers compares layers of VGG-19, which {model} does not have")
        layers = experiment.VGG19_LAYERS
    run.run(experiment.ImagenetLocalisation(model, tested, drawn, names, layers))


@reproduce.command("voc-pointing", short_help="Pointing game on VOC 2007.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--split", default="test", show_default=True, help="A list in ImageSets/Main.")
@_common("paper,released,tuned,grad-cam,rise", "voc")
def voc_pointing(
    directory: Path, split: str, model: str, methods: str, images: int | None, **how: Any
) -> None:
    """Pointing game on PASCAL VOC 2007, for every label of every image.

    \b
    DIR/VOC2007/JPEGImages, Annotations, ImageSets/Main/test.txt       DIR may also be VOC2007 itself
    """
    from gfi.reproduce import voc_pointing as experiment

    names, run = _methods(methods), _Run(model, **how)
    run.say(f"reading {directory}")
    listings = experiment.open_directory(directory, run.roots, run.classes, experiment.Options(split, images))
    run.run(experiment.VocPointing(model, listings, names, str(run.record["output"])))


@reproduce.command("salient-objects", short_help="Masks of stage 1 on MSRA-B.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--list", "listed", type=click.Path(path_type=Path), help="A file with the names of the test images."
)
@_common("paper,released", "torchvision:vgg19")
def salient_objects(
    directory: Path, listed: Path | None, model: str, methods: str, images: int | None, **how: Any
) -> None:
    """Masks of stage 1 as salient-object maps on MSRA-B.

    \b
    DIR/NAME.jpg with DIR/NAME.png, or DIR/image/NAME.jpg with DIR/annotation/NAME.png
    """
    from gfi.reproduce import salient_objects as experiment

    names, run = _methods(methods), _Run(model, **how)
    found = experiment.open_directory(directory, run.roots, experiment.Options(listed, images))
    run.run(experiment.SalientObjects(model, found, names))


@reproduce.command(short_help="Where masks land on FGSM pictures.")
@click.argument("dataset", metavar="[DIR]", required=False)
@click.option("--epsilon", default="0,1,2,4,8,16", show_default=True, help="Sizes of the step, in 255ths.")
@_common("paper,released,tuned,grad-cam,rise", "efficientnet-lite0")
def adversarial(
    dataset: str | None, epsilon: str, model: str, methods: str, images: int | None, **how: Any
) -> None:
    """FGSM pictures: does the mask of the original class still land on the object?

    DIR is any dataset with boxes that `gfi submit` reads; without it, the bundled photographs.
    """
    from gfi import samples
    from gfi.datasets.sources import open_source
    from gfi.reproduce import adversarial as experiment

    try:
        levels = tuple(int(one) for one in words(epsilon))
    except ValueError:
        levels = ()
    if not levels or len(set(levels)) < len(levels) or not all(0 <= level <= 255 for level in levels):
        raise CommandError(
            f"--epsilon {epsilon}: write different whole numbers from 0 to 255, such as 0,1,2,4"
        )
    names, run = _methods(methods), _Run(model, **how)
    source = open_source(dataset or f"manifest:{samples.manifest()}", run.service.settings)
    run.say(f"making pictures at {len(levels)} sizes of the step")
    with run.classifier() as classifier:
        pictures = experiment.make_pictures(
            source, classifier, run.work, experiment.Options(levels, images), run.classes
        )
    shown = source.describe() if dataset else "the bundled photographs"
    run.run(experiment.Adversarial(model, pictures, names, shown))


def _methods(text: str) -> Sequence[str]:
    from gfi.reproduce.experiment import options_of

    names = tuple(words(text))
    if not names or len(set(names)) < len(names):
        raise CommandError(f"--methods {text}: write different names, such as paper,grad-cam")
    for name in names:
        options_of(name)  # raises MethodError for an unknown one
    return names


class _Run:
    """The service of this machine, the model, and where listings are written."""

    def __init__(
        self, model: str, work: Path | None, dry_run: bool, output: Path | None, as_json: bool
    ) -> None:
        from gfi.cli.local_service import LocalService
        from gfi.store import queries

        if output is not None and (output.is_dir() or not output.absolute().parent.is_dir()):
            # said now, and not when the jobs are done
            raise CommandError(f"--output {output}: name a file in a folder that exists")
        if os.environ.get("GFI_API_URL"):
            raise CommandError(
                "gfi reproduce reads masks from the bucket and the database, not over HTTP: unset GFI_API_URL and run"
                " it on a machine of the service"
            )
        self.service = LocalService(*open_stack())
        self.work = (work or home_directory() / "reproduce").expanduser().resolve()
        self._dry_run, self._output, self._as_json = dry_run, output, as_json
        found = queries.find_model(self.service.database, model)
        if found is None:
            raise CommandError(f"model {model} is not registered: gfi models add {model}")
        self._model = found
        self.record = found.record

    def say(self, line: str) -> None:
        """Say on stderr what takes long; nothing with --json."""
        if not self._as_json:
            click.echo(line, err=True)

    @property
    def roots(self) -> Sequence[Path]:
        """The folders that datasets may lie in."""
        return self.service.settings.dataset_roots

    @property
    def classes(self) -> "ClassIndex":
        """The model's classes."""
        from gfi.jobs.submit import class_index

        return class_index(self.record)

    @contextlib.contextmanager
    def classifier(self) -> "Iterator[Classifier]":
        """The registered network itself, in this process."""
        from gfi.domain.job import ModelRef
        from gfi.method.classifiers import load
        from gfi.store import queries
        from gfi.store.model_store import ModelCache
        from gfi.store.objects import Bucket

        model, settings = self._model, self.service.settings
        named = ModelRef(model.reference, model.digest, model.version)
        files = queries.model_files(self.service.database, named)
        with contextlib.ExitStack() as stack:
            folder = settings.models
            if files:
                cache = ModelCache(
                    settings.models_cache, Bucket.from_settings(settings), settings.models_cache_mib * 2**20
                )
                folder = stack.enter_context(cache.opened(model.reference, files))
            known = load(model.reference, folder).known_as(model.digest)
            if known is None:
                raise CommandError(
                    f"model {model.reference} has changed since it was registered: gfi models add {model.reference}"
                )
            yield known

    def run(self, experiment: "Experiment") -> None:
        """Submit the jobs of an experiment, follow them, and print its tables."""
        asks = list(experiment.asks())
        specs = {id(ask.listing): ask.listing.write(self.work) for ask in asks}
        options = [self._options(experiment.name, ask, specs[id(ask.listing)]) for ask in asks]
        if self._dry_run:
            self._print_plans(asks, options)
            return
        jobs = [self._submit(one) for one in options]  # all of them at first, so that workers never wait
        ids = {_ask_key(ask): job for ask, job in zip(asks, jobs, strict=True)}
        if not self._as_json:
            for ask, job in zip(asks, jobs, strict=True):
                click.echo(
                    f"job {job}: {ask.method}, {ask.listing.name}, {len(ask.listing.examples):,} images"
                )
        for job in jobs:
            self._follow(job)
        self.say("reading masks")
        report = experiment.report(lambda ask: self._masks(ids[_ask_key(ask)], ask))
        made = report.to_json() | {"jobs": jobs}
        if self._output is not None:
            text = json.dumps(finite(made), indent=1, ensure_ascii=False, allow_nan=False)
            self._output.write_text(text + "\n", encoding="utf-8")
        emit(made) if self._as_json else print_report(report)

    def _options(self, experiment: str, ask: "Ask", spec: str) -> dict[str, Any]:
        return {
            "dataset": spec,
            "model": self._model.reference,
            "name": f"{experiment}: {ask.method}, {ask.listing.name}",
            "tags": ("reproduce", experiment),
            "features": "none",
            "save": (),
            **ask.options,
        }

    def _print_plans(self, asks: "Sequence[Ask]", options: Sequence[dict[str, Any]]) -> None:
        plans = [
            self.service.estimate(one, images=len(ask.listing.examples))
            for ask, one in zip(asks, options, strict=True)
        ]
        if self._as_json:
            emit([{"name": one["name"], "plan": plan} for one, plan in zip(options, plans, strict=True)])
            return
        for one, plan in zip(options, plans, strict=True):
            click.echo(f"\n{one['name']}")
            print_plan(plan)

    def _submit(self, options: Mapping[str, Any]) -> str:
        """The job of these options, whose idempotency key is the digest of its frozen configuration."""
        from gfi.domain.digests import digest
        from gfi.jobs.submit import freeze, request_from

        config = freeze(self.service.database, self.service.settings, request_from(**options))
        return resumed(self.service, options, f"reproduce-{digest(config.to_json())[:16]}")

    def _follow(self, job_id: str) -> None:
        from gfi.cli.follow import follow

        job = follow(self.service, job_id, quiet=self._as_json)
        if job["state"] in _NOT_USABLE:
            raise CommandError(
                f"job {job_id} is {job['state']}: {job['error'] or 'no image has a mask'}; the same command starts it"
                " again"
            )

    def _masks(self, job_id: str, ask: "Ask") -> "Iterator[Masked]":
        from gfi.reproduce.masks import masks_of
        from gfi.store.objects import Bucket

        service = self.service
        return masks_of(service.database, Bucket.from_settings(service.settings), job_id, ask.listing)


def resumed(service: "Service", options: Mapping[str, Any], key: str) -> str:
    """The job of an earlier run with this key; a new one where there is none, or where all failed or were cancelled."""
    for attempt in range(1, _TRIES):
        submitted = service.submit(options, key=f"{key}-{attempt}", new=True)
        job = str(submitted["job"])
        if submitted["created"] or service.job(job)["state"] not in _NOT_USABLE:
            return job
    raise CommandError(f"{_TRIES} jobs named {options['name']!r} failed: gfi jobs --tag reproduce")


def _ask_key(ask: "Ask") -> tuple[str, str]:
    return ask.method, ask.listing.name


def print_report(report: "Report") -> None:
    """Print the tables, and what differs."""
    click.echo(f"\n{report.title}")
    for one in report.tables:
        click.echo()
        table(one.title, one.columns, one.rows, "nothing")
    click.echo("\nWhat differs from the published set-up:")
    for difference in report.differences:
        click.echo(f"- {difference}")

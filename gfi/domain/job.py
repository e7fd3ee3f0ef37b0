"""The two forms of a job: the options that a user gives, and the configuration that submission freezes.

`JobOptions` is the only list of a job's options. The options of `gfi submit` and `gfi schedule add`, the body of
`POST /v1/jobs`, the fields of an upload and the signature of `Client.submit` are made from it, and a test checks that
the dashboard's form has the same options.

`JobConfig` names everything that determines the results, so that a job keeps its meaning when code, presets or
registrations change. Its JSON form is stored with the job; `from_json` reads what any earlier version stored.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from gfi.domain.digests import JSON, digest
from gfi.domain.layer_names import Layers
from gfi.domain.methods import METHODS, OWN
from gfi.domain.metrics import ALGORITHM_VERSION, CATALOGUE
from gfi.domain.queues import QUEUES, Queue
from gfi.domain.recipes import Recipe

MOST_TOP = 10
"""The largest number of classes that are explained for one image."""
MOST_TAGS = 20
PICTURES_BELOW = 1_000
"""Images of a job below which pictures are saved by default."""
LARGEST_CLASS = 2**31 - 1
LABELS = "labels"
"""The target that explains every label of an image: one result per label, with its `target_rank`."""
UNVERIFIED = "imported, not verified"
"""The provenance of masks that were made elsewhere; shown wherever they are."""

Picture = Literal["png", "overlay", "npy"]
Features = Literal["projected", "full", "none"]
"""What is stored of the network's pooled features: 256 numbers that keep distances, all, or nothing."""


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


NotBool = BeforeValidator(_no_bool)
"""For numbers: pydantic alone reads true as 1."""

# Database columns cannot hold a NUL character.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Name = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=200)]
Tag = Annotated[str, StringConstraints(pattern=r"^[^\x00,]+$", strip_whitespace=True, max_length=64)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
ClassIndex = Annotated[int, NotBool, Field(ge=0, le=LARGEST_CLASS)]


def _share(value: object) -> object:
    """A share written as `1%`."""
    if isinstance(value, str) and value.strip().endswith("%"):
        with contextlib.suppress(ValueError):
            return float(value.strip().removesuffix("%")) / 100
    return value


Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1, allow_inf_nan=False)]


class JobOptions(BaseModel):
    """The options of a job. Every interface shows the descriptions given here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dataset: Annotated[Text, Field(min_length=1, max_length=4096, examples=["/data/photographs"])] = Field(
        description="A folder, class folders, a manifest file, tar shards, s3://bucket/prefix, a VOC or an ImageNet"
        " layout; below the configured roots and buckets."
    )
    model: Annotated[Text, Field(min_length=1, max_length=256)] = Field(
        "efficientnet-lite0", description="A registered model."
    )
    method: Annotated[Text, Field(min_length=1, max_length=64)] = Field(
        OWN, description=f"What makes the masks: {', '.join(METHODS)}."
    )
    preset: Annotated[Text, Field(max_length=64)] | None = Field(
        None, description="The recipe of the method gfi: paper, released or tuned (the default)."
    )
    overrides: dict[Annotated[Text, Field(max_length=64)], bool | int | Finite | Name] = Field(
        default_factory=dict,
        max_length=32,
        description="Single fields of the recipe, for example steps_class=24.",
    )
    layers: Annotated[Text, Field(max_length=4096)] | None = Field(
        None, description="`L0,L1` in place of the preset's layers."
    )
    target: Name | ClassIndex = Field(
        "auto",
        description="auto (the label where it is a class of the model, else the predicted class), predicted, labels"
        " (each label of an image with several), or one class by index, WordNet id or name.",
    )
    rather_than: Name | ClassIndex | None = Field(
        None, description="Another class: explain why the target rather than this one."
    )
    top: Annotated[int, NotBool, Field(ge=1, le=MOST_TOP)] = Field(
        1,
        description="Explain this many of the most probable classes: one result per class, with its `target_rank`.",
    )
    metrics: tuple[Name, ...] = Field(
        (), max_length=16, description=f"Metrics to compute: {', '.join(CATALOGUE)}."
    )
    save: tuple[Picture, ...] | None = Field(
        None,
        max_length=3,
        description="Pictures to write to the bucket in addition to the parts: png, overlay, npy. Default: png below"
        f" {PICTURES_BELOW:,} images.",
    )
    thumbnails: bool = Field(
        True, description="Store a thumbnail of 64 pixels, at most 2 kB, of each photograph with its mask."
    )
    features: Features = Field(
        "projected",
        description="What to store of the network's pooled features, for the audit: projected (256 numbers, 0.5 kB),"
        " full, or none.",
    )
    most_images: Annotated[int, NotBool, Field(ge=1)] | None = Field(
        None,
        description="Explain at most this many images: a sample drawn by a hash of the key, the same in every job.",
    )
    name: Name = Field("", description="A display name.")
    tags: tuple[Tag, ...] = Field(
        (), max_length=MOST_TAGS, description="Words by which the job can be found, without commas."
    )
    priority: Annotated[int, NotBool, Field(ge=-100, le=100)] = Field(
        0, description="Higher is claimed first."
    )
    queue: Queue = Field(
        QUEUES[0],
        description="interactive is processed first: for a few images that somebody is waiting for. cpu, gpu and"
        " gpu-80g are taken by workers on such a device alone. A job for explain goes to gpu or gpu-80g where its"
        " memory is known and a worker of explain has less.",
    )
    batch: Annotated[int, NotBool, Field(ge=1, le=4096)] | None = Field(
        None, description="Images optimised together. Default: what fits the worker's device."
    )
    webhook: Annotated[Text, Field(max_length=2048)] | None = Field(
        None, description="An allow-listed address that is notified when the job ends."
    )
    email: Annotated[Text, Field(max_length=320)] | None = Field(
        None, description="An address of an allowed domain that is notified when the job ends."
    )
    since: Annotated[Text, Field(min_length=1, max_length=64)] | None = Field(
        None,
        description="A finished job over the same dataset: explain only what is new or has changed since, and carry its"
        " other results over.",
    )
    verify: Share = Field(
        0.0,
        description="With since: explain this share (0.01 or 1%) of what would be carried again, and compare the bits.",
    )
    allow_shrunk: bool = Field(
        False, description="With since: go on although more than half of the earlier images are gone."
    )


@dataclass(frozen=True)
class DatasetRef:
    """The dataset: its spec, and the kind of source that reads it."""

    spec: str
    kind: str


@dataclass(frozen=True)
class ModelRef:
    """The model: its registered name, and the digest that the loaded classifier must have."""

    reference: str
    digest: str
    version: int | None = None
    """Of the registration; None in jobs that are older than versions."""

    def to_json(self) -> JSON:
        """The stored form; without a version where there is none."""
        version = {} if self.version is None else {"version": self.version}
        return {"reference": self.reference, "digest": self.digest, **version}


@dataclass(frozen=True)
class JobConfig:
    """The frozen configuration of a job.

    preset: the name of the recipe; of a peer it is that of the method. target: "auto", "predicted", "labels" or a class
    index. foil: the class to contrast with ("rather than"), or None. save: the pictures to write; None chooses by the
    number of images.
    """

    dataset: DatasetRef
    model: ModelRef
    preset: str
    recipe: Recipe
    layers: Layers
    target: str | int
    foil: int | None = None
    top: int = 1
    metrics: tuple[str, ...] = ()
    save: tuple[str, ...] | None = None
    batch: int | None = None
    thumbnails: bool = True
    features: Features = "projected"
    most_images: int | None = None
    """The size of the sample that is explained, see `gfi.jobs.listing_writer`; None: all images."""
    imported: JSON | None = None
    """Of masks that were made elsewhere: {method, masks, crop}, as they were named; None for masks of gfi."""
    sample: JSON | None = None
    """Of a job that an audit until settled submitted: {first, seed, classes}; else None."""
    recorded_method: str | None = None
    """The digest of the method as stored with the job; an earlier version may have computed it differently."""

    @property
    def method(self) -> str:
        """The method that makes the masks, one of `gfi.domain.methods.METHODS`."""
        return self.recipe.method if self.imported is None else str(self.imported["method"])

    @property
    def each_label(self) -> bool:
        """Whether (image, label) is what is explained and counted; otherwise an image, by its first class."""
        return self.target == LABELS

    @property
    def decides_each_label(self) -> bool:
        """Whether a usable result without a prediction is a label that the network did not find. Imported masks
        have no predictions, which says nothing."""
        return self.each_label and self.imported is None

    @property
    def method_digest(self) -> str:
        """The digest of the recipe. A stored digest takes precedence, so that it equals the one in the job's parts."""
        return self.recorded_method or self.recipe.digest()

    def to_json(self) -> JSON:
        """The stored form. Options added since the first version are left out at their defaults, so that the digest of
        an unchanged request stays what it was."""
        return {
            "dataset": {"spec": self.dataset.spec, "kind": self.dataset.kind},
            "model": self.model.to_json(),
            **({"method": self.method} if self.method != OWN else {}),
            "preset": self.preset,
            "recipe": self.recipe.to_json(),
            "method_digest": self.method_digest,
            "layers": self.layers.to_json(),
            "target": self.target,
            "rather_than": self.foil,
            **({"top": self.top} if self.top > 1 else {}),
            "metrics": list(self.metrics),
            "save": list(self.save) if self.save is not None else None,
            "batch": self.batch,
            **({} if self.imported is None else {"imported": self.imported}),
            **({} if self.sample is None else {"sample": self.sample}),
            **({} if self.thumbnails else {"thumbnails": False}),
            **({} if self.features == "projected" else {"features": self.features}),
            **({} if self.most_images is None else {"most_images": self.most_images}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "JobConfig":
        """The configuration that `to_json` of this or an earlier version wrote."""
        save = value.get("save")
        return cls(
            dataset=DatasetRef(value["dataset"]["spec"], value["dataset"]["kind"]),
            model=ModelRef(
                value["model"]["reference"], value["model"]["digest"], value["model"].get("version")
            ),
            preset=value["preset"],
            recipe=Recipe.from_json(value["recipe"]),
            layers=Layers.from_json(value["layers"]),
            target=value["target"],
            foil=value.get("rather_than"),
            top=int(value.get("top", 1)),
            metrics=tuple(value.get("metrics") or ()),
            save=tuple(save) if save is not None else None,
            batch=value.get("batch"),
            thumbnails=bool(value.get("thumbnails", True)),
            features=value.get("features", "projected"),
            most_images=value.get("most_images"),
            imported=value.get("imported"),
            sample=value.get("sample"),
            recorded_method=value.get("method_digest"),
        )

    def work_digest(self) -> str:
        """`work_digest` of this configuration."""
        several = LABELS if self.each_label else self.top
        return work_digest(self.model.digest, self.method_digest, self.layers, self.metrics, several)

    def question(
        self,
        profile: Mapping[str, Any] | None,
        label: str | Sequence[str] | None = None,
        boxes: Sequence[JSON] = (),
    ) -> str:
        """The digest of everything that determines the result of one image, except the bytes of the image.

        Equal digests and equal bytes give equal results. profile: the execution profile. label, boxes: those of the
        image in the manifest; several labels as a list.
        """
        label = label if label is None or isinstance(label, str) else list(label)
        resolved = {"target": self.target} | ({"label": label} if self.target in ("auto", LABELS) else {})
        needs_boxes = any(CATALOGUE[name].needs == "boxes" for name in self.metrics if name in CATALOGUE)
        return digest(
            {
                "model": self.model.digest,
                "method": self.recipe.digest(),
                "layers": self.layers.to_json(),
                **resolved,
                "foil": self.foil,
                "top": self.top,
                "label": label,
                "boxes": list(boxes) if needs_boxes else [],
                "metrics": {name: CATALOGUE[name].version for name in self.metrics if name in CATALOGUE},
                "algorithm": ALGORITHM_VERSION,
                "profile": dict(profile) if profile is not None else None,
            }
        )


def wanted_pictures(save: Iterable[str] | None, images: int) -> frozenset[str]:
    """The kinds of pictures for a job of this many images: those of its options, by default `png` for a small job."""
    if save is not None:
        return frozenset(save)
    return frozenset({"png"}) if images < PICTURES_BELOW else frozenset()


def work_digest(
    model_digest: str, method_digest: str, layers: Layers, metrics: Sequence[str] = (), top: int | str = 1
) -> str:
    """The digest of everything that determines the speed on a given device: network, method, layers, metrics and the
    number of classes per image, which is LABELS where it is that of the image's labels."""
    parts = [model_digest, method_digest, layers.to_json(), list(metrics)]
    return digest([*parts, top] if top != 1 else parts)

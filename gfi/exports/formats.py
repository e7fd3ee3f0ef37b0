"""The formats of exports. A new one is a module with `piece` and `whole`, an entry here, a test and its docs."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gfi.exports import coco, cvat, fiftyone, label_studio, overlays, table_rows, virelay
from gfi.exports.errors import ExportError
from gfi.exports.export import Export, Item, Needs
from gfi.exports.pieces import Files, Kept, Sink


@dataclass(frozen=True)
class Format:
    """A format.

    ending: of the file; `.zip` for a format of several files, which can also be written into a folder. piece: the files
    of a stretch of results. whole: assembles the pieces. at_once: images of a piece. library, extra: what it needs that
    is not installed with the service.
    """

    name: str
    words: str
    ending: str
    needs: Needs
    piece: Callable[[Export, Sequence[Item]], Files]
    whole: Callable[[Export, Kept, Sink], None]
    at_once: int
    library: str | None = None
    extra: str | None = None

    @property
    def archive(self) -> bool:
        """Whether it has several files."""
        return self.ending == ".zip"

    def check_installed(self) -> None:
        """Raises ExportError that names the extra, if a library is missing."""
        if self.library is not None and importlib.util.find_spec(self.library) is None:
            raise ExportError(
                f'the format {self.name} needs {self.library}, which is not installed: pip install "gfi[{self.extra}]"'
            )


FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format(
            "parquet",
            "a table of results as Parquet",
            ".parquet",
            "rows",
            table_rows.parquet_piece,
            table_rows.parquet_whole,
            5000,
        ),
        Format(
            "csv",
            "a table of results as CSV",
            ".csv",
            "rows",
            table_rows.csv_piece,
            table_rows.csv_whole,
            5000,
        ),
        Format(
            "jsonl",
            "a JSON object for each result",
            ".jsonl",
            "rows",
            table_rows.jsonl_piece,
            table_rows.jsonl_whole,
            5000,
        ),
        Format("coco", "COCO: regions and boxes", ".json", "masks", coco.piece, coco.whole, 1000),
        Format(
            "fiftyone",
            "a FiftyOne dataset with heat maps",
            ".zip",
            "masks",
            fiftyone.piece,
            fiftyone.whole,
            200,
        ),
        Format(
            "virelay",
            "a ViRelAy project with HDF5 files",
            ".zip",
            "photographs",
            virelay.piece,
            virelay.whole,
            64,
            "h5py",
            "hdf5",
        ),
        Format(
            "overlays",
            "pictures in folders that mirror the dataset",
            ".zip",
            "photographs",
            overlays.piece,
            overlays.whole,
            100,
        ),
        Format("cvat", "annotations of a CVAT task", ".zip", "masks", cvat.piece, cvat.whole, 100),
        Format(
            "label-studio",
            "tasks of Label Studio with predictions",
            ".zip",
            "masks",
            label_studio.piece,
            label_studio.whole,
            500,
        ),
    )
}


def format_named(name: str) -> Format:
    """The format of this name. Raises ExportError."""
    if name not in FORMATS:
        raise ExportError(f"no export format is called `{name}`; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def reads_photographs(name: str, photographs: bool) -> bool:
    """Whether an export in this format contains photographs. photographs: the option of that name."""
    return format_named(name).needs == "photographs" or photographs

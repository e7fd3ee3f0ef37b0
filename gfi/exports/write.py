"""Writes an export: pieces first, then the whole. An interrupted export goes on behind its last piece."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gfi.domain.digests import digest
from gfi.exports.errors import ExportError
from gfi.exports.export import Export
from gfi.exports.formats import Format, format_named
from gfi.exports.pieces import FileSink, FolderPieces, FolderSink, Kept, Pieces, ZipSink, packed

_UNFINISHED = ".gfi-export"
_STATE = "state.json"


@dataclass(frozen=True)
class State:
    """How far an export is. after: (row, method, rank) of the last result in a piece."""

    pieces: int = 0
    results: int = 0
    after: tuple[int, str, int] | None = None


@dataclass(frozen=True)
class Written:
    """What was written."""

    path: Path
    results: int


def make_pieces(
    export: Export,
    pieces: Pieces,
    state: State,
    save: Callable[[State], None],
    check: Callable[[], None] = lambda: None,
) -> State:
    """Make the pieces behind `state`. save: called after each, with the state from which to go on."""
    made = format_named(export.options.format)
    for items in export.items(made.needs, state.after, made.at_once):
        check()
        pieces.put(state.pieces, packed(made.piece(export, items)))
        last = items[-1].result
        state = replace(
            state,
            pieces=state.pieces + 1,
            results=state.results + len(items),
            after=(last.row, last.method, last.target_rank),
        )
        save(state)
    return state


def assemble(export: Export, pieces: Pieces, state: State, path: Path) -> None:
    """Write the export as the file `path`: a ZIP if the format has several files."""
    made = format_named(export.options.format)
    kept = Kept(pieces, state.pieces)
    if made.archive:
        with ZipSink(path) as archive:
            made.whole(export, kept, archive)
    else:
        made.whole(export, kept, FileSink(path))


def write_export(
    export: Export,
    output: Path,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[State], None] = lambda state: None,
) -> Written:
    """Write an export on this machine, and go on with one that was interrupted.

    output: a file; of a format with several files a file `….zip`, otherwise a folder, new or empty or of an earlier
    export. Raises ExportError.
    """
    made = format_named(export.options.format)
    made.check_installed()
    _ = export.filters  # a view that cannot be read leaves nothing behind
    unfinished = output.with_name(output.name + _UNFINISHED)
    try:
        return _write(export, made, output, unfinished, check, progress)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror or error}") from error


def _write(
    export: Export,
    made: Format,
    output: Path,
    unfinished: Path,
    check: Callable[[], None],
    progress: Callable[[State], None],
) -> Written:
    as_folder = made.archive and output.suffix.lower() != ".zip"
    if not as_folder and output.is_dir():
        raise ExportError(f"{output} is a folder; name a file such as {output / f'results{made.ending}'}")
    if as_folder and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ExportError(f"{output} is not empty; name a new folder, or a file that ends in .zip")
    question = digest({"job": export.job.id, "generation": export.job.generation, **export.options.to_json()})
    unfinished.mkdir(parents=True, exist_ok=True)
    state = _read_state(unfinished, question)

    def save(now: State) -> None:
        text = json.dumps({"question": question, **asdict(now)})
        part = unfinished / f"{_STATE}.part.tmp"
        part.write_text(text)
        part.replace(unfinished / _STATE)
        progress(now)

    pieces = FolderPieces(unfinished)
    state = make_pieces(export, pieces, state, save, check)
    whole = unfinished / "whole"
    if as_folder:
        shutil.rmtree(whole, ignore_errors=True)  # of an attempt that was interrupted here
        whole.mkdir()
        made.whole(export, Kept(pieces, state.pieces), FolderSink(whole))
    else:
        assemble(export, pieces, state, whole)
    whole.replace(output)
    shutil.rmtree(unfinished)
    return Written(output, state.results)


def _read_state(folder: Path, question: str) -> State:
    """The state that an interrupted export of the same question left; the first state otherwise."""
    try:
        stored = json.loads((folder / _STATE).read_text())
        if stored.pop("question") == question:
            return State(stored["pieces"], stored["results"], tuple(stored["after"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return State()

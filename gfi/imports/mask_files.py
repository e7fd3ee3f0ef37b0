"""Where masks are read from: a folder, or one file with many. Nothing in it is trusted.

folder            KEY.npy, .npz, .png or .pt for the image KEY, or the same without the key's ending
FiftyOne dataset  a folder with samples.json and heat maps
file.zip          as a folder; it is never unpacked
file.npz          an array by the name of each key, or `masks` (N, h, w) with `keys` or in the order of the listing
file.npy          (N, h, w) in the order of the listing
file.h5           a data set by the name of each key, `masks` with `keys`, or ViRelAy's `attribution` with `index`
file.pt           of `torch.save`: {key: tensor}, or one tensor (N, …) in the order of the listing

No pickle is loaded (`allow_pickle=False`, `weights_only=True`). HDF5 files with external links, external storage or
virtual data sets are refused, since those read other files of the machine. Links of the file system that leave the
folder are refused. Sizes are checked before anything is read.
"""

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gfi.datasets.decode import decode
from gfi.imports.errors import ImportRefused
from gfi.imports.mask_values import check_shape

ENDINGS = (".npy", ".npz", ".png", ".pt", ".pth")
MOST_BYTES = 512 << 20
"""Of a file with one mask, or of a member of an archive, after decompression."""
MOST_DOCUMENT = 1 << 30
"""Of samples.json."""
MOST_TENSORS = 8 << 30
"""Of a file of tensors, after decompression."""
MOST_MEMBERS = 20_000_000
MOST_KEYS = 5_000_000
"""Of a stack of masks. With its place each takes some 200 bytes, and compressed nearly none."""
TORCH = (".pt", ".pth")
_HDF5 = (".h5", ".hdf5", ".hdf")


class Masks(Protocol):
    """Masks that can be looked up."""

    def find(self, key: str, position: int) -> NDArray[Any] | None:
        """The array of an image, as it arrived; None if there is none. position: in the listing, from 0."""
        ...


class OpenMasks:
    """Opened masks. A context manager. many: how many there are if they follow the listing's order, else None."""

    def __init__(self, masks: Masks, many: int | None, stack: ExitStack) -> None:
        self.find, self.many, self._stack = masks.find, many, stack

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def open_masks(path: Path) -> OpenMasks:
    """The masks at a path. Raises ImportRefused."""
    stack = ExitStack()
    try:
        masks, many = _opened(path, stack)
    except ImportRefused:
        stack.close()
        raise
    except Exception as error:  # as in `_decoded`
        stack.close()
        raise ImportRefused(f"{path} cannot be read: {_line(error)}") from None
    except BaseException:
        stack.close()
        raise
    return OpenMasks(masks, many, stack)


def _opened(path: Path, stack: ExitStack) -> tuple[Masks, int | None]:
    if path.is_dir():
        if (path / "samples.json").is_file():
            return _FiftyOne(path), None
        return _Folder(path), None
    if not path.is_file():
        raise ImportRefused(f"{path} does not exist")
    ending = path.suffix.lower()
    if ending == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return _stacked(array, None, str(path))
    if ending in (".npz", ".zip"):
        archive = stack.enter_context(zipfile.ZipFile(path))
        return _of_archive(archive, str(path))
    if ending in _HDF5:
        return _of_hdf5(path, stack)
    if ending in TORCH:
        return _of_torch(path)
    raise ImportRefused(f"{path}: masks are in a folder, or a file .npy, .npz, .zip, .h5 or .pt")


def candidates(key: str) -> Iterator[str]:
    """The names under which the mask of an image is looked for, the first that exists counts."""
    folder, slash, name = key.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    for base in (key, f"{folder}{slash}{stem}" if dot and stem else None):
        if base is not None:
            yield from (f"{base}{ending}" for ending in ENDINGS)


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def find(self, key: str, position: int) -> NDArray[Any] | None:
        for name in candidates(key):
            if (path := inside(self._root, name)) is not None and path.is_file():
                return _read_file(path)
        return None


def inside(root: Path, name: str) -> Path | None:
    """The path of `name` in `root`; None for a name that is no relative path. ImportRefused where it leads outside."""
    if not name or name.startswith("/") or "\0" in name or ".." in name.split("/"):
        return None
    path = root / name
    if not path.resolve().is_relative_to(root):
        raise ImportRefused(f"{path} leads outside {root}")
    return path


def _read_file(path: Path) -> NDArray[Any]:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ImportRefused(f"{path} has {size >> 20} MiB; a mask has at most {MOST_BYTES >> 20}")
    return _decoded(path.read_bytes(), path.suffix.lower(), str(path))


def _decoded(data: bytes, ending: str, where: str) -> NDArray[Any]:
    """One mask from the bytes of its file."""
    try:
        if ending == ".npy":
            return _npy(data, where, check_shape)
        if ending == ".npz":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                (name,) = archive.namelist()
                return _npy(_member(archive, name, where), where, check_shape)
        if ending in TORCH:
            tensor = _torch_load(io.BytesIO(data), where)
            return _array(tensor, where)
        return _png(data, where)
    except ImportRefused:
        raise
    except Exception as error:  # numpy, zipfile and Pillow answer damaged files with almost any exception
        raise ImportRefused(f"{where} cannot be read as a mask: {_line(error)}") from None


Check = Callable[[tuple[int, ...], np.dtype[Any], str], None]
"""Raises ImportRefused for the shape and type of an array, by its header."""


def _npy(data: bytes, where: str, check: Check) -> NDArray[Any]:
    """An array whose header is checked before its data is read."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    check(shape, dtype, where)
    if math.prod(shape) * dtype.itemsize > len(data) - file.tell():  # numpy would take the memory first
        raise ImportRefused(f"{where} is cut off: its header says {shape} of {dtype}")
    file.seek(0)
    array: NDArray[Any] = np.load(file, allow_pickle=False)
    return array


def _png(data: bytes, where: str) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = decode(data).rgb
    if rgb.ndim == 3:
        if (rgb != rgb[..., :1]).any():
            raise ImportRefused(f"{where} is coloured; a mask is a grey picture, white where it is 1")
        rgb = rgb[..., 0]
    return rgb


class _Stacked:
    """An array (N, …), by key or in the order of the listing."""

    def __init__(self, array: Any, places: Mapping[str, int] | Mapping[int, int] | None) -> None:
        self._array, self._places = array, places

    def find(self, key: str, position: int) -> NDArray[Any] | None:
        place: int | None = position
        if self._places is not None:
            known: Mapping[Any, int] = self._places
            place = known.get(key, known.get(position))
        if place is None or place >= len(self._array):
            return None
        return _read(self._array, place, key)


def _read(array: Any, place: Any, where: str) -> NDArray[Any]:
    """A part of an array, or of a data set of HDF5, which is read only now."""
    try:
        return np.asarray(array[place])
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # of a damaged block, or one compressed in an unknown way
        raise ImportRefused(f"the mask of {where} cannot be read: {_line(error)}") from None


def _stacked(array: Any, keys: Iterable[str | bytes] | None, where: str) -> tuple[Masks, int | None]:
    _check_masks(tuple(array.shape), np.dtype(array.dtype), where)
    if keys is None:
        return _Stacked(array, None), int(array.shape[0])
    names = (key.decode() if isinstance(key, bytes) else str(key) for key in keys)
    return _Stacked(array, {name: place for place, name in enumerate(names)}), None


def _check_masks(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    if len(shape) < 3:
        raise ImportRefused(f"{where} has the shape {shape}; masks of many images are (N, h, w)")
    if 0 in shape[1:]:
        raise ImportRefused(f"{where} has empty masks: its shape is {shape}")
    check_shape(shape[1:], dtype, where)


def _check_keys(shape: tuple[int, ...], masks: int, where: str) -> None:
    """Before the keys are read: each becomes an object of its own, which takes far more memory than its characters."""
    if len(shape) != 1:
        raise ImportRefused(f"{where}: the keys have the shape {shape}; there is one for each mask")
    if shape[0] != masks:
        raise ImportRefused(f"{where} has {masks:,} masks and {shape[0]:,} keys")
    if masks > MOST_KEYS:
        raise ImportRefused(f"{where} has {masks:,} keys; a file has at most {MOST_KEYS:,}")


def _of_archive(archive: zipfile.ZipFile, where: str) -> tuple[Masks, int | None]:
    names = archive.namelist()
    if len(names) > MOST_MEMBERS:
        raise ImportRefused(f"{where} has {len(names):,} members")
    if "masks.npy" in names:
        array = _npy(_member(archive, "masks.npy", where, MOST_DOCUMENT), where, _check_masks)
        keys: NDArray[Any] | None = None
        if "keys.npy" in names:

            def check(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
                _check_keys(shape, len(array), where)
                if dtype.kind not in "US":
                    raise ImportRefused(f"{where}: the keys are {dtype}, not text")

            keys = _npy(_member(archive, "keys.npy", where), where, check)
        return _stacked(array, keys, where)
    return _Archive(archive, frozenset(names), where), None


class _Archive:
    def __init__(self, archive: zipfile.ZipFile, names: frozenset[str], where: str) -> None:
        self._archive, self._names, self._where = archive, names, where

    def find(self, key: str, position: int) -> NDArray[Any] | None:
        for name in candidates(key):
            if name in self._names:
                where = f"{self._where}: {name}"
                data = _member(self._archive, name, where)
                return _decoded(data, Path(name).suffix.lower(), where)
        return None


def _member(archive: zipfile.ZipFile, name: str, where: str, most: int | None = None) -> bytes:
    """A member of an archive, decompressed no further than `most` bytes (MOST_BYTES), whatever its header says.

    ImportRefused where it is damaged or encrypted, and for other kinds of compression than zipfile's deflate, whose
    output zipfile does not bound.
    """
    most = MOST_BYTES if most is None else most
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImportRefused(f"{where}: {name} is neither stored nor deflated; compress it with deflate")
    try:
        with archive.open(name) as file:
            data = file.read(most + 1)
    except OSError:  # of this machine
        raise
    except Exception as error:  # as in `_decoded`
        raise ImportRefused(f"{where}: {name} cannot be read: {_line(error)}") from None
    if len(data) > most:
        raise ImportRefused(f"{where}: {name} has more than {most >> 20} MiB when it is decompressed")
    return data


class _FiftyOne:
    """Heat maps of a FiftyOne dataset: the first field of a sample that is one."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        document = root / "samples.json"
        if document.stat().st_size > MOST_DOCUMENT:
            raise ImportRefused(f"{document} has more than {MOST_DOCUMENT >> 20} MiB")
        samples = json.loads(document.read_bytes()).get("samples", [])
        self._by_name: dict[str, list[tuple[str, str]]] = {}
        for sample in samples:
            place, map_path = str(sample.get("filepath", "")), _heat_map(sample)
            if map_path is not None:
                self._by_name.setdefault(place.rpartition("/")[2], []).append((place, map_path))

    def find(self, key: str, position: int) -> NDArray[Any] | None:
        for place, map_path in self._by_name.get(key.rpartition("/")[2], ()):
            if place == key or place.endswith(f"/{key}"):
                path = inside(self._root, map_path)
                if path is None:
                    raise ImportRefused(f"{map_path} in samples.json is not below {self._root}")
                return _read_file(path) if path.is_file() else None
        return None


def _heat_map(sample: Mapping[str, Any]) -> str | None:
    for value in sample.values():
        if isinstance(value, dict) and value.get("_cls") == "Heatmap" and value.get("map_path"):
            return str(value["map_path"])
    return None


def _of_hdf5(path: Path, stack: ExitStack) -> tuple[Masks, int | None]:
    try:
        import h5py
    except ModuleNotFoundError:
        raise ImportRefused(f'{path} needs h5py, which is not installed: pip install "gfi[hdf5]"') from None
    file = stack.enter_context(h5py.File(path, "r"))
    read = _Hdf5(file, str(path))
    if "attribution" in file:
        index = read.dataset("index")
        places = None if index is None else {int(at): place for place, at in enumerate(index[:])}
        masks, many = _stacked(read.dataset("attribution"), None, str(path))
        return (masks, many) if places is None else (_Stacked(read.dataset("attribution"), places), None)
    if "masks" in file:
        stack_of, keys = read.dataset("masks"), read.dataset("keys")
        if stack_of is None:
            raise ImportRefused(f"{path}: masks is no data set")
        if keys is not None:
            _check_keys(tuple(keys.shape), stack_of.shape[0] if stack_of.shape else 0, str(path))
        return _stacked(stack_of, None if keys is None else keys[:], str(path))
    return read, None


class _Hdf5:
    def __init__(self, file: Any, where: str) -> None:
        self._file, self._where = file, where

    def dataset(self, name: str) -> Any:
        """A data set whose data is in this file; None if there is none."""
        import h5py

        group, parts = self._file, [part for part in name.split("/") if part]
        if not parts or "." in parts or ".." in parts:
            return None
        for at, part in enumerate(parts):
            if not isinstance(group, h5py.Group) or group.get(part, getlink=True) is None:
                return None
            if not isinstance(group.get(part, getlink=True), h5py.HardLink):
                raise ImportRefused(
                    f"{self._where}: {'/'.join(parts[: at + 1])} is a link; masks must be in the file"
                )
            group = group[part]
        if not isinstance(group, h5py.Dataset):
            return None
        if group.is_virtual or group.external:
            raise ImportRefused(
                f"{self._where}: the data of {name} is in other files; masks must be in the file"
            )
        return group

    def find(self, key: str, position: int) -> NDArray[Any] | None:
        stem, dot, _ = key.rpartition(".")
        for name in (key, stem if dot else key):
            if (found := self.dataset(name)) is not None:
                check_shape(found.shape, found.dtype, f"{self._where}: {name}")
                return _read(found, (), f"{self._where}: {name}")
        return None


def _of_torch(path: Path) -> tuple[Masks, int | None]:
    loaded = _torch_load(path, str(path))
    if isinstance(loaded, Mapping):
        return _Tensors(loaded, str(path)), None
    return _stacked(_array(loaded, str(path)), None, str(path))


def _torch_load(source: Any, where: str) -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        raise ImportRefused(
            f'{where} needs torch, which is not installed: pip install "gfi[method]"'
        ) from None
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_TENSORS:
                raise ImportRefused(f"{where} has more than {MOST_TENSORS >> 30} GiB of tensors")
    if hasattr(source, "seek"):
        source.seek(0)
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # of pickle, zipfile or torch, for what is not a file of tensors
        raise ImportRefused(
            f"{where} is not a file of tensors (it is read with weights_only=True): {_line(error)}"
        ) from None


class _Tensors:
    def __init__(self, tensors: Mapping[Any, Any], where: str) -> None:
        self._tensors, self._where = tensors, where

    def find(self, key: str, position: int) -> NDArray[Any] | None:
        stem, dot, _ = key.rpartition(".")
        for name in (key, stem if dot else key):
            if name in self._tensors:
                return _array(self._tensors[name], f"{self._where}: {name}")
        return None


def _array(tensor: Any, where: str) -> NDArray[Any]:
    to_numpy: Callable[[], Any] | None = getattr(tensor, "numpy", None)
    if to_numpy is None:
        raise ImportRefused(f"{where} holds {type(tensor).__name__}, not a tensor")
    try:
        array: NDArray[Any] = (
            tensor.detach().float().numpy() if tensor.is_floating_point() else tensor.numpy()
        )
    except (TypeError, RuntimeError) as error:  # of a sparse or quantised tensor
        raise ImportRefused(f"{where} cannot be read as an array: {_line(error)}") from None
    return array


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

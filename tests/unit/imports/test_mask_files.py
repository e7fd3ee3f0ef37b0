"""Masks in folders and files; nothing in them is trusted."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from gfi.imports import mask_files
from gfi.imports.errors import ImportRefused
from gfi.imports.mask_files import open_masks

MASK = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
KEYS = ["a/x.jpg", "b.png"]


class Mine:
    """Unpickling it leaves a file behind."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/gfi-unpickled"),))


def folder(path: Path) -> Path:
    (path / "a").mkdir(parents=True)
    np.save(path / "a" / "x.npy", MASK)
    Image.fromarray(np.rint(MASK * 255).astype(np.uint8)).save(path / "b.png.png")
    return path


def archive(path: Path) -> Path:
    folder(path / "content")
    with zipfile.ZipFile(path / "m.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for file in (path / "content").rglob("*.*"):
            made.write(file, file.relative_to(path / "content"))
    return path / "m.zip"


def npz(path: Path) -> Path:
    np.savez(path / "m.npz", **{"a/x": MASK, "b": MASK})
    return path / "m.npz"


def npz_with_keys(path: Path) -> Path:
    np.savez(path / "m.npz", masks=np.stack([MASK, MASK]), keys=np.array(KEYS))
    return path / "m.npz"


def npy(path: Path) -> Path:
    np.save(path / "m.npy", np.stack([MASK, MASK]))
    return path / "m.npy"


def hdf5(path: Path) -> Path:
    with h5py.File(path / "m.h5", "w") as file:
        file["a/x.jpg"] = MASK
        file["b"] = MASK
    return path / "m.h5"


def virelay(path: Path) -> Path:
    with h5py.File(path / "m.h5", "w") as file:
        file["attribution"] = np.stack([MASK, MASK])[:, None]
        file["index"] = np.array([1, 0], np.uint32)
    return path / "m.h5"


def tensors(path: Path) -> Path:
    torch.save({"a/x": torch.from_numpy(MASK), "b.png": torch.from_numpy(MASK).half()}, path / "m.pt")
    return path / "m.pt"


def tensor(path: Path) -> Path:
    torch.save(torch.from_numpy(np.stack([MASK, MASK]))[:, None], path / "m.pt")
    return path / "m.pt"


def fiftyone(path: Path) -> Path:
    samples = []
    for key in KEYS:
        name = f"fields/mask/{key.replace('/', '-')}.png"
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(MASK * 255).astype(np.uint8)).save(path / name)
        samples.append({"filepath": f"/data/{key}", "heat": {"_cls": "Heatmap", "map_path": name}})
    (path / "samples.json").write_text(json.dumps({"samples": samples}))
    return path


@pytest.mark.parametrize(
    "make", [folder, archive, npz, npz_with_keys, npy, hdf5, virelay, tensors, tensor, fiftyone]
)
def test_each_kind_finds_the_masks_of_its_keys(make: object, tmp_path: Path) -> None:
    with open_masks(make(tmp_path)) as masks:  # type: ignore[operator]
        for position, key in enumerate(KEYS):
            found = masks.find(key, position)
            assert found is not None
            values = found[0] if found.ndim == 3 else found
            scale = 255 if values.dtype == np.uint8 else 1
            assert np.allclose(values / scale, MASK, atol=0.003)
        assert masks.find("c.jpg", 2) is None


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    mark = Path("/tmp/gfi-unpickled")
    mark.unlink(missing_ok=True)
    np.save(tmp_path / "a.npy", np.array([Mine()], object), allow_pickle=True)
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Mine()))
    torch.save({"c": Mine()}, tmp_path / "c.pt")
    np.savez(tmp_path / "m.npz", masks=np.array([Mine()], object))
    with open_masks(tmp_path) as masks:
        for key in ("a", "b", "c"):
            with pytest.raises(ImportRefused):
                masks.find(key, 0)
    for name in ("a.npy", "c.pt", "m.npz"):
        with pytest.raises(ImportRefused):
            open_masks(tmp_path / name)
    assert not mark.exists()


def test_no_path_leaves_its_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "secret.npy", MASK)
    root = tmp_path / "masks"
    root.mkdir()
    (root / "link.npy").symlink_to(tmp_path / "secret.npy")
    with open_masks(root) as masks:
        assert masks.find("../secret", 0) is None
        assert masks.find(str(tmp_path / "secret"), 0) is None
        with pytest.raises(ImportRefused, match="leads outside"):
            masks.find("link", 0)
    sample = {"filepath": "/a.jpg", "heat": {"_cls": "Heatmap", "map_path": "../secret.npy"}}
    (root / "samples.json").write_text(json.dumps({"samples": [sample]}))
    with open_masks(root) as masks, pytest.raises(ImportRefused, match="is not below"):
        masks.find("a.jpg", 0)


def test_hdf5_that_reads_other_files_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = MASK
    (tmp_path / "raw").write_bytes(MASK.tobytes())
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")
        file["b"] = h5py.SoftLink("/a")
        file.create_dataset("c", MASK.shape, "f4", external=[(str(tmp_path / "raw"), 0, MASK.nbytes)])
        layout = h5py.VirtualLayout(MASK.shape, "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", MASK.shape)
        file.create_virtual_dataset("d", layout)
    with open_masks(tmp_path / "m.h5") as masks:
        for key in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
            with pytest.raises(ImportRefused, match="must be in the file"):
                masks.find(key, 0)


def test_what_expands_beyond_its_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_files, "MOST_BYTES", 1000)
    out = io.BytesIO()
    np.save(out, np.zeros((100, 100), np.float32))
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.npy", out.getvalue())
    with (
        open_masks(tmp_path / "m.zip") as masks,
        pytest.raises(ImportRefused, match="when it is decompressed"),
    ):
        masks.find("a.jpg", 0)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"shape": (1 << 20, 1 << 20), "fortran_order": False, "descr": "<f4"}
    )
    (tmp_path / "b.npy").write_bytes(header.getvalue())
    with open_masks(tmp_path) as masks, pytest.raises(ImportRefused, match="values; a mask has at most"):
        masks.find("b.jpg", 0)


def test_damaged_members_and_those_whose_size_zipfile_does_not_bound_are_refused_alone(
    tmp_path: Path,
) -> None:
    out = io.BytesIO()
    np.save(out, MASK)
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as made:
        made.writestr("a.npy", out.getvalue())
        made.writestr("b.npy", out.getvalue())
        made.writestr("c.npy", out.getvalue(), zipfile.ZIP_BZIP2)
        made.writestr("d.npy", out.getvalue()[:-20])
        made.writestr("e.npy", b"\x93NUMPY\x01\x00\x02\x00({")  # numpy answers with its tokenizer's error
    data = bytearray((tmp_path / "m.zip").read_bytes())
    data[data.index(MASK.tobytes()) + 5] ^= 1
    (tmp_path / "m.zip").write_bytes(data)
    with open_masks(tmp_path / "m.zip") as masks:
        for key, said in (
            ("a", "CRC"),
            ("c", "neither stored nor deflated"),
            ("d", "cut off"),
            ("e", "as a mask"),
        ):
            with pytest.raises(ImportRefused, match=said):
                masks.find(key, 0)
        assert np.array_equal(masks.find("b", 1), MASK)  # type: ignore[arg-type]


def test_keys_are_counted_before_they_are_read(tmp_path: Path) -> None:
    two = np.stack([MASK, MASK])
    for keys, said in (
        (np.zeros(10**6, "U1"), "2 masks and 1,000,000 keys"),
        (np.zeros((2, 10**6), "U1"), "the keys have the shape"),
        (np.arange(2), "not text"),
    ):
        np.savez_compressed(tmp_path / "m.npz", masks=two, keys=keys)
        with pytest.raises(ImportRefused, match=said):
            open_masks(tmp_path / "m.npz")
    np.savez_compressed(tmp_path / "m.npz", masks=np.zeros((2, 0, 9)), keys=np.array(KEYS))
    with pytest.raises(ImportRefused, match="empty masks"):
        open_masks(tmp_path / "m.npz")
    np.savez(tmp_path / "m.npz", masks=two, keys=np.array(KEYS, "S"))
    with open_masks(tmp_path / "m.npz") as masks:
        assert masks.find(KEYS[1], 7) is not None


def test_a_coloured_picture_and_an_unknown_file_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with open_masks(tmp_path) as masks, pytest.raises(ImportRefused, match="is coloured"):
        masks.find("a.jpg", 0)
    for name in ("a.png", "no.npy"):
        with pytest.raises(ImportRefused):
            open_masks(tmp_path / name)

"""Files that people register as models, by their names and their first bytes. Loads no torch."""

import zipfile
from pathlib import Path

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pt2")
"""What files of weights are called."""
TORCHSCRIPT = (
    "is TorchScript, whose layers cannot be read from outside; save the weights of the network that it was made from, "
    "torch.save(net.state_dict(), …), or export that network: torch.export.save(…, NAME.pt2)"
)


def is_torchscript(file: Path) -> bool:
    """Whether the file is a program of `torch.jit.save`."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def refusal(path: Path) -> str | None:
    """Why a file or folder is no model and no weights, and what to do; None where it may be either."""
    suffix = path.suffix.lower()
    if path.is_dir():
        if (path / "config.json").is_file():
            return None
        return (
            f"{path} is a folder without config.json, so it is none of transformers' save_pretrained; name a model "
            f"file NAME.toml or a file of weights ({' '.join(SUFFIXES)})"
        )
    if suffix in SUFFIXES and not path.exists():
        return f"{path} does not exist"
    if suffix == ".onnx":
        return (
            f"{path} is ONNX, which is not read, because no converter back to torch keeps the names of layers; export "
            "the network from torch: torch.export.save(…, NAME.pt2)"
        )
    if path.is_file():
        if is_torchscript(path):
            return f"{path} {TORCHSCRIPT}"
        if suffix not in (*SUFFIXES, ".toml"):
            return (
                f"{path} is neither a model file NAME.toml nor a file of weights ({' '.join(SUFFIXES)}); of a network "
                "of torch, save the weights: torch.save(net.state_dict(), 'NAME.pth')"
            )
    return None

"""What is shipped works away from the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gfi", "scheduler", "workers", "migrations")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        out,
        ROOT,
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_ships_four_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)
    assert any(name.startswith("gfi/samples/photographs/") and name.endswith(".jpg") for name in names)
    assert "gfi/samples/LICENSES.md" in names
    assert any(name.startswith("gfi/report/templates/") for name in names)
    assert any(name.startswith("migrations/versions/0001") for name in names)
    assert "gfi/domain/imagenet_classes.tsv" in names


def test_an_installed_wheel_upgrades_a_database(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel]
    subprocess.run(install, check=True, capture_output=True)
    # Other people's packages are taken from here; ours cannot be: a folder named in a .pth file is searched for
    # modules, but the .pth file of our editable install in it is not read.
    paths = sysconfig.get_paths(vars={"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")})
    Path(paths["purelib"], "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GFI_", "PYTHON"))}
    url = f"sqlite:///{tmp_path / 'gfi.db'}"
    done = subprocess.run(
        [tmp_path / "env" / "bin" / "gfi", "db", "upgrade"],
        env={**clean, "GFI_DATABASE_URL": url}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    newest = max(file.name[:4] for file in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    assert f"is at revision {newest}" in done.stdout
    where = subprocess.run(
        [python, "-c", "import gfi.store; print(gfi.store.__file__)"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(tmp_path))

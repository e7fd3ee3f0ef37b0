"""Datasets: preview, names, and refusal of paths outside the configured roots."""

import io
import tarfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from gfi.api.config import ApiSettings
from gfi.datasets.errors import DatasetError
from gfi.datasets.sources import open_source
from tests.service.api.conftest import MODEL, World
from tests.unit.jobs.test_listing_reader import write_bomb


def test_a_dataset_is_previewed_registered_and_named(one_world: World) -> None:
    spec = str(one_world.photographs)
    preview = one_world.call(
        "POST", "/v1/datasets/preview", "submit", json={"dataset": spec, "limit": 3}
    ).json()
    assert (preview["kind"], preview["images"], len(preview["items"])) == ("folder", 10, 3)
    photo = one_world.call("GET", "/v1/datasets/photo", params={"dataset": spec, "key": one_world.names[0]})
    assert photo.headers["content-type"] == "image/jpeg"
    name = f"d{one_world.database.url.database[-8:-3]}".replace("/", "-").replace("_", "-").lower()
    made = one_world.call("POST", "/v1/datasets", "submit", json={"name": name, "dataset": spec})
    assert made.status_code == 201, made.text
    assert one_world.call("POST", "/v1/datasets", json={"name": name, "dataset": spec}).status_code == 409
    assert name in [dataset["name"] for dataset in one_world.call("GET", "/v1/datasets").json()["registered"]]
    job = one_world.submit(dataset=f"@{name}")
    assert (job.status_code, job.json()["job"]["dataset"]) == (201, f"folder:{spec}")
    assert one_world.call("DELETE", f"/v1/datasets/{name}").status_code == 204
    assert one_world.submit(dataset=f"@{name}").status_code == 422
    assert one_world.submit(dataset="@../x").status_code == 422


@pytest.mark.parametrize("way", ["../", "absolute", "encoded", "symlink", "NUL", "scheme"])
def test_no_path_leads_out_of_the_roots(one_world: World, way: str) -> None:
    outside = one_world.photographs.parents[1] / "secret"
    outside.mkdir(exist_ok=True)
    (outside / "a.jpg").write_bytes((one_world.photographs / one_world.names[0]).read_bytes())
    link = one_world.photographs / "link"
    if way == "symlink":
        link.symlink_to(outside)
    inside = str(one_world.photographs)
    dataset = {
        "../": f"{inside}/../../secret",
        "absolute": str(outside),
        "encoded": f"{inside}/%2e%2e/%2e%2e/secret",
        "symlink": str(link),
        "NUL": f"{inside}\0/../../secret",
        "scheme": f"file://{outside}",
    }[way]
    assert one_world.submit(dataset=dataset).status_code == 422
    assert one_world.call("POST", "/v1/datasets/preview", json={"dataset": dataset}).status_code == 422
    keys = {
        "../": "../../secret/a.jpg",
        "absolute": str(outside / "a.jpg"),
        "encoded": "%2e%2e/%2e%2e/secret/a.jpg",
        "symlink": "link/a.jpg",
        "NUL": "a\0.jpg",
        "scheme": f"file://{outside}/a.jpg",
    }
    photo = one_world.call("GET", "/v1/datasets/photo", params={"dataset": inside, "key": keys[way]})
    assert photo.status_code in (404, 422), photo.text
    for path in ("/static/..%2f..%2fpages.py", "/static/%2e%2e/pages.py", "/static//etc/passwd"):
        assert one_world.client.get(path).status_code in (401, 404)
    listed = one_world.call("POST", "/v1/datasets/preview", json={"dataset": inside, "limit": 60})
    assert not any(item["key"].startswith("link") for item in listed.json()["items"])
    said = [
        line for line in listed.json()["warnings"] if "1 link that leads out of the dataset (link)" in line
    ]
    assert len(said) == (1 if way == "symlink" else 0)


@pytest.mark.parametrize(
    "name", ["../slip.jpg", "a/../../slip.jpg", "/etc/slip.jpg", "symlink", "hard link", "device", "FIFO"]
)
def test_a_tar_cannot_name_files_outside_itself(one_world: World, tmp_path: Path, name: str) -> None:
    (tmp_path / "slip.jpg").write_bytes(b"a secret")
    shard = one_world.photographs.parent / "shard.tar"
    good = (one_world.photographs / one_world.names[0]).read_bytes()
    kinds = {
        "symlink": (tarfile.SYMTYPE, str(tmp_path / "slip.jpg")),
        "hard link": (tarfile.LNKTYPE, "../../slip.jpg"),
        "device": (tarfile.CHRTYPE, ""),
        "FIFO": (tarfile.FIFOTYPE, ""),
    }
    with tarfile.open(shard, "w") as tar:
        plain = tarfile.TarInfo("good.jpg")
        plain.size = len(good)
        tar.addfile(plain, io.BytesIO(good))
        evil = tarfile.TarInfo("evil.jpg" if name in kinds else name)
        if name in kinds:
            evil.type, evil.linkname = kinds[name]
            tar.addfile(evil)
        else:
            evil.size = 8
            tar.addfile(evil, io.BytesIO(b"a secret"))
    dataset = str(shard)
    seen = one_world.call("POST", "/v1/datasets/preview", json={"dataset": dataset})
    if name in kinds:  # not a regular file: left out
        assert [image["key"] for image in seen.json()["items"]] == ["shard.tar/good.jpg"]
    else:  # the whole archive is refused
        assert seen.status_code == 422
        assert "leads out" in seen.json()["detail"]
    for key in (
        f"shard.tar/{evil.name}",
        "shard.tar/../../slip.jpg",
        f"shard.tar/{tmp_path}/slip.jpg",
        "slip.jpg",
    ):
        photo = one_world.call("GET", "/v1/datasets/photo", params={"dataset": dataset, "key": key})
        assert photo.status_code == 404, key
    one_world.submit(dataset=dataset)  # the planner reads the same listing in any case
    with pytest.raises(DatasetError) if name not in kinds else nullcontext():
        listed = [image.key for image in open_source(dataset, one_world.settings).list()]
        assert listed == ["shard.tar/good.jpg"]
    assert sorted(path.name for path in tmp_path.rglob("slip.jpg")) == ["slip.jpg"]  # nothing was unpacked


def test_a_file_that_expands_is_refused_and_the_service_goes_on(
    one_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = one_world.photographs.parent / "bomb.parquet"
    write_bomb(bomb)
    monkeypatch.setitem(one_world.client.app.state.context.__dict__, "api", ApiSettings(listing_mib=300))
    for path, body in (
        ("/v1/datasets/preview", {"dataset": str(bomb)}),
        ("/v1/jobs/estimate", {"dataset": str(bomb), "model": MODEL}),
    ):
        refused = one_world.call("POST", path, "submit", json=body)
        assert (refused.status_code, "more memory than the 300 MiB" in refused.text) == (422, True), (
            refused.text
        )
    ok = one_world.call("POST", "/v1/datasets/preview", json={"dataset": str(one_world.photographs)})
    assert ok.json()["images"] == 10
    bomb.unlink()


def test_a_preview_refuses_what_planning_would_refuse(one_world: World) -> None:
    """Two spellings of one image were counted as two."""
    path = one_world.photographs.parent / "twice.csv"
    path.write_text("key\nphotographs/a.jpg\n./photographs/a.jpg\n")
    refused = one_world.call("POST", "/v1/datasets/preview", json={"dataset": str(path)})
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "the key 'photographs/a.jpg' is listed twice",
    )

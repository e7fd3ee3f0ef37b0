"""The shipped photographs: each has a licence, and boxes inside the photograph."""

import json

from PIL import Image

from gfi import samples

ENTRIES = [json.loads(line) for line in samples.manifest().read_text().splitlines()]


def test_the_manifest_lists_every_photograph() -> None:
    listed = {samples.manifest().parent / entry["key"] for entry in ENTRIES}
    assert listed == set(samples.path().iterdir())


def test_every_photograph_has_a_licence() -> None:
    licences = (samples.manifest().parent / "LICENSES.md").read_text()
    assert [file.name for file in samples.path().iterdir() if f"| `{file.name}` |" not in licences] == []


def test_every_box_lies_on_its_photograph() -> None:
    for entry in ENTRIES:
        width, height = Image.open(samples.manifest().parent / entry["key"]).size
        assert entry["boxes"], entry["key"]
        for left, top, right, bottom in entry["boxes"]:
            assert 0 <= left < right <= width, entry["key"]
            assert 0 <= top < bottom <= height, entry["key"]

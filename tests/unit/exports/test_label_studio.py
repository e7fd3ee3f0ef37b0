"""Label Studio: the labelling configuration is XML, whatever the classes are called."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np

from gfi.exports import label_studio
from gfi.exports.pieces import FolderPieces, FolderSink, Kept, packed


def test_names_of_classes_that_xml_does_not_allow_are_written_so_that_tasks_and_configuration_agree(
    tmp_path: Path,
) -> None:
    region = np.ones((2, 2), np.bool_)
    name = 'a\x01b"<\ud800'
    item: Any = SimpleNamespace(
        result=SimpleNamespace(row=0, target_rank=0),
        region=lambda: region,
        size=(2, 2),
        class_name=name,
    )
    (label,) = label_studio._shapes(item)[0]["value"]["brushlabels"]
    pieces = FolderPieces(tmp_path)
    pieces.put(0, packed([("tasks", b"{}\n"), ("labels", label_studio.json_line(name))]))
    label_studio.whole(SimpleNamespace(), Kept(pieces, 1), FolderSink(tmp_path / "out"))  # type: ignore[arg-type]
    read = ElementTree.fromstring((tmp_path / "out" / "labelling.xml").read_text())
    assert [one.get("value") for one in read.iter("Label")] == [label, label]
    assert label == 'a_b"<_'

"""A sample holds what each metric of the catalogue needs, and metrics that need no network load no torch."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from gfi.domain.metrics import CATALOGUE
from gfi.metrics.average_drop import average_drop
from gfi.metrics.deletion import deletion
from gfi.metrics.energy_in_box import energy_in_box
from gfi.metrics.insertion import insertion
from gfi.metrics.iou_box import iou_box
from gfi.metrics.photograph_fill import Bank
from gfi.metrics.pointing import pointing
from gfi.metrics.sample import Sample, measure
from tests.unit.metrics.cases import probabilities


@pytest.fixture
def sample(net, batch):
    images, masks, targets = batch
    return Sample(
        mask=masks[1, 0].numpy().astype(np.float32),
        target=int(targets[1]),
        original_size=(44, 80),
        box=(14.0, 0.0, 66.0, 44.0),
        regions=((10.0, 5.0, 30.0, 30.0), (20.0, 8.0, 70.0, 40.0)),
        image=images[1],
        probabilities=probabilities(net),
        bank=Bank(images, torch.tensor([4, 4, 4, 4])),
        cell=3,
    )


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_metric_gives_the_columns_that_the_catalogue_declares(sample, name):
    region = np.indices((44, 80)).sum(0) % 3 == 0 if name == "iou_region" else None
    columns = measure(name, replace(sample, region=region))
    assert set(columns) == {column.name for column in CATALOGUE[name].columns}
    assert all(math.isfinite(value) for value in columns.values())


def test_the_network_is_asked_about_this_image_mask_and_class(net, batch, sample):
    images, masks, targets = (tensor[1:2] for tensor in batch)
    arguments = probabilities(net), images, masks.float().double(), targets
    assert measure("deletion", sample)["deletion"] == float(deletion(*arguments).area[0])
    assert measure("insertion", sample)["insertion"] == float(insertion(*arguments).area[0])
    assert measure("average_drop", sample)["average_drop"] == float(average_drop(*arguments).drop[0])


def test_the_boxes_of_this_image_are_read_where_the_network_looked(sample):
    arguments = sample.mask[None], [(44, 80)], [(14.0, 0.0, 66.0, 44.0)], [sample.regions]
    assert measure("energy_in_box", sample)["energy_in_box"] == energy_in_box(*arguments)[0]
    assert measure("iou_box", sample)["iou_box"] == iou_box(*arguments)[0]
    hits = pointing(*arguments)[0], pointing(*arguments, tolerance=0.0)[0]
    assert measure("pointing", sample) == {"pointing_hit": hits[0], "pointing_hit_0": hits[1]}


def test_a_mask_goes_to_the_device_and_dtype_of_its_image(sample):
    _, images, masks, targets = sample.batch
    assert (
        (masks.dtype, masks.device) == (images.dtype, images.device) == (torch.float64, torch.device("cpu"))
    )
    assert targets.tolist() == [sample.target]


def test_metrics_with_boxes_and_reports_load_no_torch():
    names = "area, energy_in_box, entropy, iou_box, iou_region, localisation, pointing, sample"
    code = (
        f"import sys, gfi.report.page, gfi.report.contact_sheet; from gfi.metrics import {names}; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Deletion and insertion with a photograph of another class."""

import numpy as np
import torch

from gfi.metrics.deletion import deletion
from gfi.metrics.insertion import insertion
from gfi.metrics.photograph_fill import Bank
from gfi.metrics.sample import Sample, measure
from tests.unit.metrics.cases import probabilities


def sample(net, batch, bank):
    images, masks, targets = batch
    mask = masks[1, 0].numpy().astype(np.float32)
    size = (22, 26)
    asked = probabilities(net)
    return Sample(mask, int(targets[1]), size, (0, 0, 26, 22), (), images[1], asked, bank)


def test_the_fill_is_a_photograph_of_another_class(net, batch):
    images, _, targets = batch
    bank = Bank.of(probabilities(net), images)
    assert torch.equal(bank.classes, net(images).argmax(1))
    target = int(targets[1])
    fill = bank.fill_for(target)
    values = measure("photograph_fill", sample(net, batch, bank))
    arguments = sample(net, batch, bank).batch
    if fill is None:
        assert values == {}
        return
    assert values["deletion_photograph"] == float(deletion(*arguments, fill=fill).area[0])
    assert values["insertion_photograph"] == float(insertion(*arguments, fill=fill).area[0])


def test_without_a_photograph_of_another_class_there_is_no_value(net, batch):
    images, _, targets = batch
    bank = Bank(images, torch.full((4,), int(targets[1])))
    assert measure("photograph_fill", sample(net, batch, bank)) == {}


def test_the_choice_depends_on_the_target_alone():
    bank = Bank(torch.arange(4.0).view(4, 1, 1, 1), torch.tensor([0, 1, 2, 3]))
    chosen = [float(bank.fill_for(target)) for target in range(6)]
    assert chosen == [1.0, 2.0, 3.0, 0.0, 0.0, 1.0]

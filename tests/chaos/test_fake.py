"""The fake engine offers what the real one does: else a change there is noticed by every scenario at once, oddly."""

import dataclasses
import inspect

import workers.engines
from gfi.method import engine
from tests.chaos import fake


def test_the_fakes_have_the_fields_of_the_real_ones() -> None:
    for name in ("Item", "Explanation", "Profile"):
        real, stand_in = (
            {each.name for each in dataclasses.fields(getattr(module, name))} for module in (engine, fake)
        )
        assert real == stand_in, name
    assert engine.Progress._fields == fake.Progress._fields


def test_the_fakes_are_called_as_the_real_ones() -> None:
    for real, stand_in in (
        (workers.engines.Engines.__init__, fake.Engines.__init__),
        (workers.engines.Engines.get, fake.Engines.get),
        (workers.engines.Engines.shrink, fake.Engines.shrink),
        (engine.Engine.explain_many, fake.Engine.explain_many),
    ):
        assert list(inspect.signature(real).parameters) == list(inspect.signature(stand_in).parameters)

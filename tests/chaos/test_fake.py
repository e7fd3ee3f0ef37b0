"""The fake engine has the interface of the real one. Without this test, a change there would break every scenario in an
unclear way."""

import dataclasses
import inspect

import workers.loaded_engines
from gfi.method import engine, item
from tests.chaos import fake


def test_the_fake_item_has_the_fields_of_the_real_one() -> None:
    fields = [{field.name for field in dataclasses.fields(kind)} for kind in (item.Item, fake.Item)]
    assert fields[0] == fields[1]


def test_the_fakes_are_called_as_the_real_ones() -> None:
    for real, stand_in in (
        (workers.loaded_engines.LoadedEngines.__init__, fake.LoadedEngines.__init__),
        (workers.loaded_engines.LoadedEngines.get, fake.LoadedEngines.get),
        (workers.loaded_engines.LoadedEngines.shrink, fake.LoadedEngines.shrink),
        (engine.Engine.explain_many, fake.Engine.explain_many),
    ):
        assert list(inspect.signature(real).parameters) == list(inspect.signature(stand_in).parameters)

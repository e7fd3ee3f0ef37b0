"""GET /v1/vocabulary contains every word once, in agreement with the tables and the options."""

from importlib.resources import files

from gfi.domain.job import JobOptions
from gfi.domain.metrics import CATALOGUE, METRICS
from gfi.domain.presets import PRESETS
from gfi.domain.states import TERMINAL, JobState
from gfi.domain.statuses import ImageStatus
from gfi.jobs.audits.words import GONE, GROUPS
from gfi.store.tables import results, shards
from tests.service.api.conftest import World


def test_every_word_is_in_the_vocabulary(one_world: World) -> None:
    words = one_world.call("GET", "/v1/vocabulary", "read").json()
    assert {state["name"] for state in words["job_states"] if state["ended"]} == set(TERMINAL)
    assert {state["name"] for state in words["job_states"]} == set(JobState)
    assert {status["name"] for status in words["statuses"]} == set(ImageStatus)
    assert all(status["title"] and status["meaning"] for status in words["statuses"])
    assert [metric["name"] for metric in words["metrics"]] == list(CATALOGUE)
    assert [preset["name"] for preset in words["presets"]] == list(PRESETS)
    assert set(words["job_options"]["properties"]) == set(JobOptions.model_fields)


def test_the_tables_have_a_column_for_every_metric_and_a_counter_for_every_status() -> None:
    assert set(METRICS) <= set(results.columns.keys())
    assert {f"n_{status}" for status in ImageStatus} <= set(shards.columns.keys())


def test_without_a_token_it_answers_nobody(one_world: World) -> None:
    assert one_world.client.get("/v1/vocabulary").status_code == 401


def test_the_dashboard_spells_no_list_of_metrics_or_statuses() -> None:
    scripts = (files("gfi.web") / "static").iterdir()
    text = "".join(script.read_text() for script in scripts if script.name.endswith(".js"))
    assert '"/v1/vocabulary"' in text
    for name in ("average_drop", "energy_in_box", "iou_box", "target_lost", "not_settled"):
        assert name not in text
    for words in (*GROUPS, ("", *GONE)):  # nor the titles of the verdicts of an audit
        assert words[1] not in text
        assert words[2] not in text

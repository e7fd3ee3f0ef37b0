"""Every option of a job is a flag, a field of the API and a keyword of the client, and is spelled once."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gfi.api.job_schemas import JobIn
from gfi.cli import schedules
from gfi.cli.errors import CommandError
from gfi.cli.estimate import estimate
from gfi.cli.job_options import job_options, options_of
from gfi.cli.schedules import TIMING, add_schedule, edit_schedule
from gfi.cli.submit import submit
from gfi.domain.job import JobOptions
from gfi.jobs.submit import JobRequest

OF_THE_COMMAND = {"key", "new", "dry_run", "wait", "allow_partial", "as_json", "sample", "per"}


OF_THE_PLAN = {"images", "workers", "deadline", "as_json"} | {
    f"price_{name}" for name in ("device_hour", "storage", "put", "get")
}

OF_THE_SCHEDULE = {"schedule_name", *TIMING} - {"compare"} | {
    *("audit_classes", "compare_with", "compare_floor", "gate_path"),
}


@pytest.mark.parametrize(
    ("command", "own"),
    [
        (submit, OF_THE_COMMAND),
        (add_schedule, OF_THE_SCHEDULE),
        (estimate, OF_THE_PLAN),
    ],
)
def test_commands_have_a_flag_for_every_option_and_no_other(command: click.Command, own: set[str]) -> None:
    assert {parameter.name for parameter in command.params} - own == set(JobOptions.model_fields)


def test_the_api_takes_every_option_and_whether_to_start_another() -> None:
    assert set(JobIn.model_fields) == {*JobOptions.model_fields, "new"}
    assert set(JobRequest.model_fields) == {*JobOptions.model_fields, "owner"}


def test_every_option_describes_itself() -> None:
    assert all(field.description for field in JobOptions.model_fields.values())


def given(*arguments: str) -> dict[str, object]:
    """The options that a command line gives."""
    taken: dict[str, object] = {}

    @click.command()
    @job_options
    def command(**options: object) -> None:
        taken.update(options_of(options))

    result = CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)
    assert result.exit_code == 0
    return taken


def test_only_what_was_given_is_passed_on() -> None:
    assert given("--dataset", "/d") == {"dataset": "/d"}


def test_texts_are_read_as_their_options_mean_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = given(
        "--dataset",
        "photos",
        "--set",
        "steps_class=24",
        "--set",
        "fill=mean",
        "--metrics",
        "deletion, insertion",
        "--tags",
        "nightly,cats",
        "--save",
        "none",
        "--top",
        "3",
        "--priority",
        "-5",
        "--queue",
        "interactive",
    )
    assert options == {
        "dataset": str(tmp_path / "photos"),
        "overrides": {"steps_class": 24, "fill": "mean"},
        "metrics": ("deletion", "insertion"),
        "tags": ("nightly", "cats"),
        "save": (),
        "top": 3,
        "priority": -5,
        "queue": "interactive",
    }


@pytest.mark.parametrize("spec", ["s3://bucket/x", "voc:/data/VOC", "@registered"])
def test_a_dataset_that_is_no_relative_path_is_left_alone(spec: str) -> None:
    assert given("--dataset", spec)["dataset"] == spec


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("--set", "steps"), "write FIELD=VALUE"), (("--top", "many"), "write a whole number")],
)
def test_a_text_that_cannot_be_read_is_named(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        given("--dataset", "/d", *arguments)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("photos", "{here}/photos"),
        ("classes:photos?split=val", "classes:{here}/photos?split=val"),
        ("x-?.tar?images=all", "{here}/x-?.tar?images=all"),
        ("boxes.csv?root=photos&key=a%20b", "{here}/boxes.csv?root={here}/photos&key=a%20b"),
        ("boxes.csv?root=s3://bucket/photos", "{here}/boxes.csv?root=s3://bucket/photos"),
        *(
            (same, same)
            for same in ("s3://bucket/photos", "classes:s3://bucket/photos", "manifest:s3://bucket/x.csv")
        ),
        *((same, same) for same in ("@birds", "upload:0a1b", "voc:/data/VOC2007?split=test")),
    ],
)
def test_paths_are_made_absolute_and_addresses_are_left_as_they_are(
    spec: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert given("--dataset", spec)["dataset"] == wanted.format(here=tmp_path)


@pytest.mark.parametrize(
    ("words", "compare"),
    [
        (["--gate", "release.toml"], {"gate": "", "gate_name": "release.toml"}),
        (["--compare", "01A"], {"with": "01A"}),
        (["--compare-floor", "01B", "--compare-floor", "01C"], {"floor": ["01B", "01C"]}),
        (["--compare", "none"], False),
        (["--overlap", "queue"], None),
    ],
)
def test_an_edit_of_a_schedule_sends_only_what_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], compare: object
) -> None:
    sent: list[dict[str, object]] = []

    class Service:
        def change_schedule(self, name: str, changes: dict[str, object]) -> dict[str, object]:
            sent.append(changes)
            return {"name": name, "paused": True, "follow_ups": {}}

    monkeypatch.setattr(schedules, "open_service", Service)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.toml").write_text("")
    made = CliRunner().invoke(edit_schedule, ["nightly", *words], catch_exceptions=False)
    assert made.exit_code == 0, made.output
    assert sent[0].get("compare") == compare

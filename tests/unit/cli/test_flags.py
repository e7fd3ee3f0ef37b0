"""`gfi flags`: which images are meant is checked before any is flagged."""

import pytest
from click.testing import CliRunner

from gfi.cli import flags
from gfi.cli.errors import CommandError


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--rows", "9-7"], "counts down; write rows=7-9"),
        (["--rows", ""], "cannot be read; write rows=3,7-9"),
        ([], "name the images: --rows 3,7-9, or --view"),
        (["--rows", "3", "--view", "wrong=true"], "name the images"),
    ],
)
def test_a_choice_of_no_images_is_never_all_of_them(
    words: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened() -> object:
        class Nothing:
            def set_flags(self, *_: object) -> tuple[int, int]:
                raise AssertionError("no image was to be flagged")

        return Nothing()

    monkeypatch.setattr(flags, "open_service", opened)
    with pytest.raises(CommandError, match=reason):
        CliRunner().invoke(
            flags.flags, ["set", "JOB", "look", *words], catch_exceptions=False, standalone_mode=False
        )

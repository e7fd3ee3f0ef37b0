"""The words for the statuses of images."""

from gfi.domain.statuses import STATUS_WORDS, UNUSABLE, ImageStatus


def test_every_status_has_its_words_and_only_unusable_ones_and_nonfinite_are_bad() -> None:
    assert set(STATUS_WORDS) == set(ImageStatus)
    bad = {status for status, words in STATUS_WORDS.items() if words.severity == "bad"}
    assert bad == UNUSABLE | {ImageStatus.NONFINITE}
    assert len({words.title for words in STATUS_WORDS.values()}) == len(ImageStatus)

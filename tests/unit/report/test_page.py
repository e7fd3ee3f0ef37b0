"""The report page is complete, does not run code in file names, and needs the memory of one image."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from gfi.domain.result import Result
from gfi.domain.sums import Sums
from gfi.domain.window import AppliedWindow
from gfi.report import page
from gfi.report.page import Card, write_page
from gfi.report.summary import summarise, summary_of

HOSTILE = "cats/<script>alert(1)</script>\"' onerror=alert(1) &amp; {{ 7 * 7 }}\u202egpj.exe"


def photo(height=60, width=90):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def card(key="a.jpg", status="ok", **values):
    names = {name: values.pop(name, None) for name in ("target_name", "prediction_name")}
    numbers = {"probability": 0.9, "kept": 0.8, "removed": 0.0001, "area": 0.2, "iterations": 80}
    shown = {"target": 3, "prediction": 3, **numbers, "metrics": {"insertion": 0.5}, **values}
    mask = np.random.default_rng(1).random((7, 7))
    return Card(Result(0, key, status, **shown), photo(), mask, (15, 0, 75, 60), **names)


def write(directory, cards, title="A job", metadata=None):
    cards = list(cards)
    return write_page(directory, title, metadata or {}, summarise(c.result for c in cards), cards).read_text(
        "utf-8"
    )


def test_images_without_a_result_are_counted_in_the_headline(tmp_path):
    cards = [card(f"{at}.jpg") for at in range(8)]
    summary = summarise(c.result for c in cards)
    text = write_page(tmp_path, "Cancelled", {}, summary, cards, listed=24).read_text("utf-8")
    assert "<strong>8</strong> of 24 images explained; 16 without a result" in text
    assert "<strong>8</strong> of 8 images explained</p>" in write(tmp_path, cards)


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def test_the_page_shows_names_classes_probabilities_and_metrics_of_an_image(tmp_path):
    text = write(
        tmp_path, [card(target_name="tabby", prediction_name="tabby", label="cat")], metadata={"Model": "m"}
    )
    read = Reader(text).text
    for word in (
        "a.jpg",
        "tabby",
        "Target",
        "Predicted",
        "cat",
        "Explained",
        "90.0 %",
        "80.0 %",
        "< 0.1 %",
        "0.500",
    ):
        assert word in read
    for suffix in ("thumb.jpg", "photo.jpg", "mask.png"):
        assert (tmp_path / "images" / f"00000-{suffix}").stat().st_size > 0
        assert f"images/00000-{suffix}" in text


@pytest.mark.parametrize("where", ["key", "label", "target_name", "prediction_name", "error", "status"])
def test_a_hostile_name_is_text_and_nothing_else(tmp_path, where):
    plain = Reader(write(tmp_path / "plain", [card(**{where: "harmless"}, prediction=4)]))
    wicked = Reader(write(tmp_path / "wicked", [card(**{where: HOSTILE}, prediction=4)]))
    assert [tag for tag, _ in wicked.tags if tag in ("script", "img")] == [
        tag for tag, _ in plain.tags if tag in ("script", "img")
    ]
    assert not [attrs for _, attrs in wicked.tags if any(name.startswith("on") for name in attrs)]
    if where != "status":
        assert "{{ 7 * 7 }}" in wicked.text


def test_a_hostile_title_and_metadata_are_text(tmp_path):
    reader = Reader(write(tmp_path, [], title=HOSTILE, metadata={HOSTILE: HOSTILE}))
    assert len(reader.all("script")) == 1
    assert reader.text.count("<script>alert(1)</script>") >= 3


def test_what_was_done_to_the_photograph_and_its_boxes_is_said_once(tmp_path):
    window, repairs = AppliedWindow(0, 4095, "12 bits by the file"), ("a box is cut", "boxes are scaled")
    text = Reader(write(tmp_path, [card(window=window, repairs=repairs, error="a box is cut")])).text
    assert "Of its values 0 is black and 4095 white (12 bits by the file)." in text
    assert text.count("a box is cut") == text.count("boxes are scaled") == 1


def test_a_file_name_that_is_not_utf_8_does_not_stop_the_report(tmp_path):
    text = write(tmp_path, [card(key="caf\udce9.jpg")])
    assert "caf?.jpg" in text


def test_only_our_own_style_and_script_may_run_and_nothing_is_fetched(tmp_path):
    text = write(tmp_path, [card()])
    reader = Reader(text)
    (policy,) = [m["content"] for m in reader.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert f"{directive} '{page._sha256(body)}'" in policy
    assert not [a for _, a in reader.tags if "style" in a]
    links = [a.get("src") or a.get("href") for _, a in reader.tags if a.get("src") or a.get("href")]
    assert all(link.startswith(("images/", "data:image/", "#")) for link in links)


def test_images_load_lazily_and_keep_their_place(tmp_path):
    for image in Reader(write(tmp_path, [card()])).all("img"):
        assert image["loading"] == "lazy"
        assert (image["width"], image["height"]) == ("90", "60")


def test_the_mask_is_grey_on_the_part_that_the_network_saw_and_transparent_elsewhere(tmp_path):
    write(tmp_path, [card()])
    image = Image.open(tmp_path / "images" / "00000-mask.png")
    assert (image.mode, image.size) == ("LA", (90, 60))
    alpha = np.asarray(image)[..., 1]
    assert alpha[:, 15:75].min() == 255
    assert alpha[:, :15].max() == alpha[:, 75:].max() == 0


def test_large_photographs_become_small_files(tmp_path):
    big = Card(Result(0, "big", "ok"), photo(1500, 3000), np.ones((7, 7)), (0, 0, 3000, 1500))
    write(tmp_path, [big])
    sizes = {p.name: Image.open(p).size for p in (tmp_path / "images").iterdir()}
    assert sizes == {
        "00000-photo.jpg": (960, 480), "00000-thumb.jpg": (360, 180), "00000-mask.png": (360, 180)
    }  # fmt: skip


def test_an_image_without_photograph_or_mask_says_so(tmp_path):
    broken = Card(Result(0, "b.jpg", "error", error="truncated after 12 bytes"))
    text = Reader(write(tmp_path, [broken])).text
    for words in ("no photograph", "no mask", "Error", "truncated after 12 bytes"):
        assert words in text
    assert not list((tmp_path / "images").iterdir())


def test_a_mask_without_its_photograph_is_still_shown(tmp_path):
    write(tmp_path, [Card(Result(0, "gone.jpg", "changed"), None, np.ones((7, 9)), (5, 5, 50, 50))])
    assert Image.open(tmp_path / "images" / "00000-mask.png").size == (9, 7)


def test_values_that_are_not_numbers_are_left_out(tmp_path):
    text = write(tmp_path, [card(status="nonfinite", kept=float("nan"), metrics={"insertion": float("inf")})])
    assert "nan" not in Reader(text).text.lower()
    assert "Infinity" not in re.findall(r"data-values='(.*?)'", text)[0]


def test_an_empty_job_says_what_to_do_next(tmp_path):
    text = Reader(write(tmp_path, [])).text
    assert "No results yet" in text
    assert "gfi report" in text


def test_a_shorter_report_replaces_a_longer_one_and_touches_no_other_file(tmp_path):
    write(tmp_path, [card(), card("b.jpg")])
    mine = tmp_path / "images" / "notes.txt"
    mine.write_text("keep me")
    write(tmp_path, [card()])
    names = {p.name for p in (tmp_path / "images").iterdir()}
    assert names == {"00000-photo.jpg", "00000-thumb.jpg", "00000-mask.png", "notes.txt"}


def test_a_report_that_fails_leaves_the_old_page(tmp_path):
    before = write(tmp_path, [card()])

    def cards():
        yield card("new.jpg")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_page(tmp_path, "A job", {}, summarise([]), cards())
    assert (tmp_path / "index.html").read_text("utf-8") == before


def test_a_thousand_cards_are_written_as_they_come(tmp_path):
    drawn = []

    def cards():
        for i in range(1000):
            drawn.append(i)
            yield Card(Result(i, f"{i}.jpg", "ok", kept=0.5))

    text = write_page(tmp_path, "Many", {}, summarise([]), cards()).read_text("utf-8")
    assert text.count('<li class="card"') == len(drawn) == 1000


def test_statuses_can_be_filtered_and_columns_sorted_by(tmp_path):
    reader = Reader(write(tmp_path, [card(), card("b.jpg", "empty")]))
    chips = [b["data-status"] for b in reader.all("button") if b.get("class") == "chip"]
    assert chips == ["", "ok", "empty"]
    assert {"", "#key", "kept", "insertion"} <= {o.get("value") for o in reader.all("option")}


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0.0 %"), (0.00004, "< 0.1 %"), (0.5, "50.0 %"), (0.99996, "> 99.9 %"), (1.0, "100.0 %")],
)
def test_a_probability_is_never_rounded_to_certainty(value, words):
    assert page._percent(value) == words


def test_the_controls_stand_beside_the_mean_they_belong_to(tmp_path):
    sums = Sums()
    for method, value in (("gfi", 0.8), ("random", 0.2), ("randomised", 0.3)):
        sums.add((method, None, 1, 1, "ok"), [("insertion", value)])
    text = write_page(tmp_path, "title", {}, summary_of(sums), []).read_text()
    titles, row = text.index("Random mask"), text.index(">0.800<")
    assert (
        titles
        < text.index("Randomised weights")
        < row
        < text.index(">0.200<", row)
        < text.index(">0.300<", row)
    )
    assert ">missing</span>" in text[row:]  # the centred mask

"""The gallery, used as a person would."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Visit, cards, faults, frames, play, the_job, wait_for
from tests.service.api.conftest import World
from tests.speed import slowness


def test_thousands_of_images_scroll_with_few_elements(visit: Visit, site: tuple[str, World]) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/gallery")
    page.wait_for_selector(".card img")
    shown = page.locator("#shown")

    def at_the_end() -> bool:
        page.mouse.wheel(0, 2500)
        return bool(shown.inner_text() == "400 images")

    wait_for(page, at_the_end)
    page.keyboard.press("End")
    page.wait_for_selector("#card-399")
    assert page.locator(".card").count() < 80


def test_a_gallery_asks_for_each_page_of_results_once(visit: Visit, site: tuple[str, World]) -> None:
    job = the_job(site[1])
    page = visit.page
    asked: list[str] = []
    page.on(
        "request", lambda request: asked.append(request.url) if f"{job}/results?" in request.url else None
    )
    held: list[Any] = []
    # While the job is being fetched, drawing (the grid is measured, a colour is chosen) requests nothing.
    page.route(f"**/v1/jobs/{job}", lambda route: held.append(route))
    visit.open(f"/jobs/{job}/gallery")
    page.click("#more-display")
    page.select_option("#map", "magma")
    frames(page)
    assert asked == []
    wait_for(page, lambda: len(held) == 1)
    held.pop().continue_()
    page.wait_for_selector("text=200 of up to 400 images loaded")
    assert len(asked) == 1
    page.click("#more-tools")
    # The answer to an outdated request arrives while the next request is running.
    page.route(f"**/v1/jobs/{job}/results?*", lambda route: held.append(route))
    page.select_option("#status", "error")
    wait_for(page, lambda: len(held) == 1)
    page.select_option("#status", "")
    wait_for(page, lambda: len(held) == 2)
    withdrawn, wanted = held
    with page.expect_response("**/results?*status=error*"):
        withdrawn.continue_()
    frames(page)
    page.evaluate("dispatchEvent(new Event('scroll'))")
    frames(page)
    wanted.continue_()
    page.wait_for_selector(".card[data-row='0'] img")
    assert page.inner_text("#shown").startswith("200 of up to 400 images loaded")
    assert len(asked) == 3


def test_filters_sorting_opacity_and_comparison_with_another_job(
    visit: Visit, site: tuple[str, World]
) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/gallery")
    page.wait_for_selector(".card img")
    page.click("#more-tools")
    page.click("#more-display")
    page.select_option("#status", "error")
    expect(page.locator("#shown")).to_have_text("40 images")
    page.select_option("#status", "")
    page.select_option("#sort", "insertion")
    page.click("#direction")
    page.wait_for_selector(".card[data-row='398']")
    page.select_option("#metric", "insertion")
    page.fill("#low", "0.5385")
    expect(page.locator("#shown")).to_have_text("13 images")
    page.fill("#search", "no such file")
    page.wait_for_selector("text=No image matches")
    page.fill("#search", "")
    page.fill("#low", "")
    page.locator("#opacity").fill("80")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--opacity')") == "0.8"
    page.select_option("#comparison", label="Released")  # an existing job over the same images
    page.wait_for_selector(".pic b:has-text('Released')")
    page.wait_for_selector(".pic b:has-text('Paper')")
    page.select_option("#comparison", label="By class")
    page.wait_for_selector(".pic b:has-text('By class')")


def test_a_name_that_is_no_class_is_said_and_never_another_class(
    visit: Visit, site: tuple[str, World]
) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/results?" in request.url else None)
    visit.open(f"/jobs/{the_job(site[1])}/gallery")
    page.wait_for_selector(".card img")
    expect(page.locator("#classes option")).to_have_count(3)
    page.click("#more-tools")
    box = page.locator("#prediction")
    for wrong in ("coff", "unicorn", "3", "-1"):
        box.fill(wrong)
        box.press("Enter")
        expect(page.locator("#empty")).to_contain_text(f"no class called “{wrong}”")
        expect(box).to_have_attribute("aria-invalid", "true")
        cards(page, 0)
    assert not [url for url in asked if "prediction" in url]
    for right in ("Coffee", "1"):
        box.fill(right)
        box.press("Enter")
        expect(page.locator("#shown")).to_contain_text("120 images")
        expect(box).to_have_attribute("aria-invalid", "false")
    box.fill("")
    box.press("Enter")
    expect(page.locator("#shown")).to_contain_text("of up to 400 images")
    assert {url.partition("prediction=")[2][:1] for url in asked} == {"", "1"}


def test_a_gallery_is_filtered_and_grouped_by_a_column_of_the_manifest(
    visit: Visit, site: tuple[str, World], shoot: Callable[[Any, str], None]
) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/gallery")
    page.wait_for_selector(".card img")
    page.click("#more-tools")
    page.select_option("#group", "site")
    expect(page.locator("#groups tr")).to_have_count(2)
    assert page.locator("#groups tr").first.inner_text().split()[:3] == ["A", "200", "200"]
    shoot(page, "groups")
    page.click("#groups button:has-text('B')")
    expect(page.locator("#card-1")).to_have_attribute("data-row", "3")
    assert page.input_value("#column") == "site"
    page.select_option("#column", "age")
    page.select_option("#column-is", ">=")
    page.fill("#column-value", "8")
    page.press("#column-value", "Enter")
    expect(page.locator("#shown")).to_have_text("80 images")
    expect(page.locator("#groups tr").first.locator("td").nth(1)).to_have_text("40")
    page.locator(".card").first.click()
    expect(page.locator("#viewer-about")).to_contain_text("site")
    page = visit.open(f"/jobs/{the_job(site[1])}/gallery?row=3")  # as a finding links to an image
    page.wait_for_selector("dialog[open]")
    expect(page.locator("#card-0")).to_have_attribute("data-row", "3")
    expect(page.locator("#shown")).to_contain_text("1 image")
    page.keyboard.press("Escape")
    listed = "import('/static/gallery-address.js').then((page) => page.listedQuery().toString())"
    assert page.evaluate(listed) == "rows=3"  # what "All that match" flags and exports
    page.click("#direction")
    expect(page.locator("#shown")).to_contain_text("200 of")
    assert page.evaluate(listed) == "descending=true"


def test_the_gallery_of_a_job_under_way_grows(visit: Visit, site: tuple[str, World]) -> None:
    world = site[1]
    job = world.planned(total=10, size=4, name="Grows", priority=100)
    page = visit.open(f"/jobs/{job}/gallery")
    page.wait_for_selector("text=No results yet")
    assert world.explain_shard()
    cards(page, 4)  # by themselves
    assert not page.is_visible("#fresh")
    assert world.explain_shard()
    page.click("text=4 more explained: show")
    cards(page, 8)
    expect(page.locator("#fresh")).to_be_hidden()


def test_each_class_of_an_image_has_a_card_with_its_own_mask(visit: Visit, site: tuple[str, World]) -> None:
    world = site[1]
    job = world.explained(name="Two classes", top=2)
    page = visit.open(f"/jobs/{job}/gallery")
    expect(page.locator("#shown")).to_have_text("19 explanations")
    assert [page.get_attribute(f"#card-{at}", "data-row") for at in (0, 1, 2)] == ["0", "0", "1"]
    first, second = (page.inner_text(f"#card-{at} .state") for at in (0, 1))
    assert first != second
    # What the cards show is tested, not the requests: browsers differ in how often they request a picture.
    for at in (0, 1):
        expect(page.locator(f"#card-{at} .over")).not_to_have_js_property("naturalWidth", 0)
    masks = [page.get_attribute(f"#card-{at} .over", "src") for at in (0, 1)]
    assert ["target_rank=1" in url for url in masks] == [False, True]
    one, other = (page.request.get(f"{visit.url}{url}").body() for url in masks)
    assert one != other


def test_a_comparison_with_another_method_is_submitted_from_the_gallery(
    visit: Visit, site: tuple[str, World]
) -> None:
    world = site[1]
    page = visit.open(f"/jobs/{the_job(world)}/gallery")
    page.wait_for_selector(".card img")
    page.click("#more-display")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.select_option("#comparison", label="Grad-CAM: explain …")
    expect(page.locator("#comparison")).to_have_value("")
    page.once("dialog", lambda dialog: dialog.accept())
    page.select_option("#comparison", label="Grad-CAM: explain …")
    page.wait_for_selector(".pic em:has-text('not explained yet')")
    play(world)
    page.wait_for_selector(".card[data-row='0'] .pic:last-child .over", timeout=20_000 * slowness())
    assert page.inner_text(".card[data-row='0'] .pic:last-child b") == "Grad-CAM"


def test_label_prediction_and_every_filter_are_in_the_address(visit: Visit, site: tuple[str, World]) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/gallery")
    page.wait_for_selector(".card img")
    page.check("#wrong")
    expect(page.locator("#shown")).to_contain_text("loaded")
    expect(page.locator(".card .wrong").first).to_contain_text("→")
    page.fill("#label", "cat")
    page.press("#label", "Tab")
    expect(page.locator("#shown")).to_have_text("94 images")
    page.select_option("#sort", "area")
    page.click("#direction")
    page.wait_for_url("**label=cat&wrong=true&sort=area&descending=true")
    first = page.get_attribute("#card-0", "data-row")
    page.once("dialog", lambda dialog: dialog.accept("cats that are wrong"))
    page.click("#save-view")
    expect(page.locator("#views")).to_have_value("cats that are wrong")
    visit.open(f"/jobs/{the_job(site[1])}/gallery?target=1&where=site%3DA")
    expect(page.locator("#chips")).to_contain_text("Target: coffee")
    expect(page.locator("#more-tools")).to_have_text("Filters (1)")
    page.select_option("#views", "cats that are wrong")
    expect(page.locator("#shown")).to_have_text("94 images")
    expect(page.locator("#chips")).to_be_hidden()
    assert page.get_attribute("#card-0", "data-row") == first
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#delete-view")
    expect(page.locator("#views")).to_have_value("")


def test_images_are_selected_flagged_and_restored_with_the_keyboard_alone(
    visit: Visit, site: tuple[str, World], shoot: Callable[[Any, str], None]
) -> None:
    world = site[1]
    job = world.explained(name="By keyboard")
    page = visit.open(f"/jobs/{job}/gallery")
    page.wait_for_selector(".card img")
    flags = lambda: {row["row"]: row["flag"] for row in world.call("GET", f"/v1/jobs/{job}/flags").json()}  # noqa: E731
    page.locator("#grid").focus()
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#selected")).to_have_text("3 selected")
    assert faults(page) == []
    shoot(page, "selection")
    page.keyboard.press("2")
    expect(page.locator(".card .mark")).to_have_count(3)
    assert flags() == {0: "wrong", 1: "wrong", 2: "wrong"}
    page.keyboard.press("Escape")
    expect(page.locator("#selection")).to_be_hidden()
    page.keyboard.press("3")  # the image that is chosen
    expect(page.locator("#card-2 .mark")).to_contain_text("good")
    page.keyboard.press("u")
    expect(page.locator("#card-2 .mark")).to_contain_text("wrong")
    page.keyboard.press("u")
    expect(page.locator(".card .mark")).to_have_count(0)
    assert flags() == {}
    page.keyboard.press("Enter")  # looking: the image, then the next one
    expect(page.locator("#viewer-name")).to_have_text(world.names[2])
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-name")).to_have_text(world.names[3])
    page.keyboard.press("Escape")
    expect(page.locator("#grid")).to_be_focused()
    reached: list[str] = []  # filtering: the boxes are on the way from the top of the page to the grid
    page.locator("#search").focus()
    while reached[-1:] != ["grid"] and len(reached) < 20:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert [name for name in reached if name in ("label", "wrong", "flag", "sort", "more-tools")] == [
        *("label", "wrong", "flag", "sort", "more-tools")
    ]
    page.locator("#more-tools").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#status")).to_be_focused()
    page.keyboard.type("Error")
    expect(page.locator("#shown")).to_have_text("1 image")
    page.keyboard.press("Home")
    expect(page.locator("#shown")).to_have_text("10 images")
    # By mouse: a range, then everything that matches.
    page.click("#card-1", modifiers=["Control"])
    page.click("#card-4", modifiers=["Shift"])
    expect(page.locator("#selected")).to_have_text("4 selected")
    page.select_option("#export-format", "cvat")
    with page.expect_request("**/exports") as asked:
        page.click("#export-selected")
    assert asked.value.post_data_json == {"format": "cvat", "view": "rows=1%2C2%2C3%2C4"}
    expect(page.locator("#explain-again")).to_be_visible()
    page.click("#select-all")
    expect(page.locator("#explain-again")).to_be_hidden()
    page.fill("#selection-note", "all of them")
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#selection-flags button").first.click()
    wait_for(page, lambda: len(flags()) == 10)
    expect(page.locator("#flag option[value=look]")).to_have_text("look again (10)")


def test_cards_are_dense_or_large_and_masks_are_cut_at_a_threshold(
    visit: Visit, site: tuple[str, World]
) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/gallery")
    page.wait_for_selector(".card img")
    page.click("#more-display")
    page.locator("#density").fill("12")
    left = "(card) => card.getBoundingClientRect().top"
    tops = page.locator(".card").evaluate_all(f"(cards) => cards.map({left})")
    assert tops.count(min(tops)) == 12
    assert page.locator("*").count() < 3000
    page.locator("#density").fill("2")
    page.locator("#threshold").fill("0.5")
    expect(page.locator(".card .over").first).to_have_attribute("src", re.compile("threshold=0.5"))
    page.locator(".card").first.click()
    page.click("#zoom-in")
    expect(page.locator("#zoom-value")).to_have_text("150 %")
    expect(page.locator("#viewer-about abbr").first).to_have_attribute("title", re.compile("[.]$"))
    expect(page.locator("#stage .box")).to_have_count(2)
    page.select_option("#viewer-comparison", label="Released")
    expect(page.locator("#stage .slid .over")).to_have_count(2)
    page.locator("#mix").fill("30")
    expect(page.locator("#mix-value")).to_have_text("30 %")
    assert "compare=" in page.url
    page.uncheck("#slid")
    page.uncheck("#boxes")
    expect(page.locator("#stage .pic")).to_have_count(2)
    expect(page.locator("#stage .box")).to_have_count(0)
    page.select_option("#viewer-comparison", "")
    page.click("#similar-mask")
    expect(page.locator("#similar figure")).to_have_count(12)
    expect(page.locator("#similar-words")).to_contain_text("The most similar of 360 images")

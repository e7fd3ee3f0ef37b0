"""The pages of classes, confusion and histograms."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit, faults, the_job
from tests.service.api.conftest import World


def test_a_class_leads_from_its_row_to_its_images(visit: Visit, site: tuple[str, World]) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/classes")
    rows = page.locator("#classes tr")
    expect(rows).to_have_count(4)  # three labels, and the images that could not be read
    page.get_by_role("button", name="Accuracy").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Accuracy")
    page.fill("#search", "coff")
    expect(rows).to_have_count(1)
    rows.first.get_by_role("button", name="coffee").press("Enter")
    expect(page.locator("#class-name")).to_have_text("coffee")
    for picture in ("#mean", "#spread", "#best img >> nth=0", "#worst img >> nth=0"):
        expect(page.locator(picture)).not_to_have_js_property("naturalWidth", 0)
    assert page.locator("#best figure").count() == page.locator("#worst figure").count() == 6
    page.fill("#search", "")
    page.select_option("#by", "site")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("error")  # left out, and why
    expect(rows.first.locator("td").nth(5)).to_contain_text("–")
    assert page.url.endswith("?by=site")
    assert faults(page) == []
    page.select_option("#by", "")
    rows.get_by_role("button", name="coffee").click()
    page.click("text=Wrong ones")
    expect(page.locator("#shown")).to_contain_text("images")
    assert "label=coffee&wrong=true" in page.url
    assert page.locator("*").count() < 1500


def test_a_confusion_shows_both_masks_and_leads_to_its_images(visit: Visit, site: tuple[str, World]) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/confusion")
    expect(page.locator("#figures")).to_contain_text("wrong")
    cell = page.locator("#matrix td:not(.right) a").first
    said = cell.get_attribute("aria-label") or ""
    images = said.partition(": ")[2].partition(" images")[0]
    expect(page.locator("#pair .side-by-side")).to_have_count(6)
    expect(page.locator("#pair figcaption").first).to_contain_text("Predicted:")
    cell.click()
    expect(page.locator("#shown")).to_have_text(f"{images} images")


def test_a_range_of_a_histogram_is_brushed_and_opened(visit: Visit, site: tuple[str, World]) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/histograms")
    page.locator("#chart svg").scroll_into_view_if_needed()
    box = page.locator("#chart svg").bounding_box()
    assert box is not None
    y = box["y"] + 20
    page.mouse.move(box["x"] + box["width"] * 0.25, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.up()
    assert float(page.input_value("#low")) < float(page.input_value("#high"))
    page.select_option("#column", "site")
    page.fill("#value", "A")
    page.press("#value", "Tab")
    expect(page.locator("#meaning")).to_contain_text("over 200 images")
    page.fill("#class", "cat")
    page.press("#class", "Tab")
    expect(page.locator("#chart .behind").first).to_be_attached()
    page.fill("#low", "0.5")  # by keyboard alone
    page.fill("#high", "0.6")
    expect(page.locator("#words")).to_contain_text("about")
    page.click("#show")
    expect(page.locator("#shown")).to_contain_text("images")
    for piece in ("label=cat", "where=site%3DA", "metric=area", "at_least=0.5", "at_most=0.6"):
        assert piece in page.url

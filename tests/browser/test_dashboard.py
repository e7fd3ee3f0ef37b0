"""The dashboard in headless Chromium at 1280 and 400 px, used as a person would; screenshots for docs/."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from gfi.domain.states import ControlKind
from gfi.store import ledger, queries
from gfi.store.ledger.tokens import create_link
from tests.browser.conftest import Visit
from tests.service.api.conftest import World, model_record
from tests.speed import slowness

AXE = (Path(__file__).parent / "assets" / "axe.min.js").read_text()
PAGES = [
    "/jobs",
    "/jobs/{job}",
    "/jobs/{job}/gallery",
    "/schedules",
    "/comparisons",
    "/comparisons/{comparison}",
    "/models",
    "/workers",
    "/tokens",
]


@pytest.fixture
def visit(browser: Any, site: tuple[str, World], request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A signed-in browser, as wide as the test's parameter says. At the end its console must have no errors."""
    url, world = site
    made = Visit(browser, url, world, *getattr(request, "param", (1280, 900)))
    yield made
    made.context.close()
    assert made.complaints == []
    assert made.hosts <= {url.partition("//")[2]}, "a request left the host"


def the_job(world: World) -> str:
    """The furnished job with 400 images."""
    return str(world.call("GET", "/v1/jobs", params={"search": "First look"}).json()["items"][0]["id"])


@pytest.mark.parametrize("visit", [(1280, 900), (400, 800)], indirect=True, ids=["1280px", "400px"])
def test_every_page_is_accessible_fits_and_is_quiet(
    visit: Visit, site: tuple[str, World], shoot: Callable[[Any, str], None]
) -> None:
    job = the_job(site[1])
    comparison = site[1].call("GET", "/v1/comparisons").json()[0]["id"]
    for path in PAGES:
        page = visit.open(path.format(job=job, comparison=comparison))
        page.wait_for_selector(".card img" if "gallery" in path else "main td, main .figures strong")
        for theme in ("light", "dark") if page.viewport_size["width"] > 400 else ("light",):
            page.evaluate("name => { document.documentElement.dataset.theme = name }", theme)
            faults = _axe(page)
            assert faults == [], f"{path} {theme}"
        moved = page.evaluate("moved")
        assert sum(share for share, *_ in moved) < 0.05, f"{path} jumps while it loads: {moved}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
        shoot(
            page,
            {
                "/jobs/{job}": "job",
                "/jobs/{job}/gallery": "gallery",
                "/comparisons/{comparison}": "comparison",
            }.get(path, path.strip("/")),
        )
    page = visit.open(f"/jobs/{job}/gallery")
    page.locator(".card").nth(3).click()
    page.wait_for_selector("dialog[open]")
    assert _axe(page) == []
    shoot(page, "viewer")
    page = visit.open("/jobs")
    page.click("#new")
    page.wait_for_selector("#metrics input")
    page.fill("[name=dataset]", str(site[1].photographs))
    page.press("[name=dataset]", "Tab")
    page.wait_for_selector("#preview figure img")
    page.click("#estimate-button")
    page.wait_for_selector("#estimate dd")
    assert _axe(page) == []
    shoot(page, "submit")


def _axe(page: Any) -> list[str]:
    # Evaluated by the driver, not loaded by the page: the content security policy is not changed.
    page.evaluate(AXE)
    report = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]} {fault['nodes'][0]['failureSummary']}"
        for fault in report["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


def test_submit_progress_gallery_flag(visit: Visit, site: tuple[str, World]) -> None:
    url, world = site
    page = visit.open("/jobs")
    page.click("#new")
    page.fill("[name=dataset]", str(world.photographs))
    page.press("[name=dataset]", "Tab")
    page.wait_for_selector("#preview figure img")
    page.fill("#plan-hours", "2")
    page.click("#estimate-button")
    page.wait_for_selector("#estimate dd")
    assert "gfi bench tiny" in page.inner_text("#estimate")  # it never ran, and says what to do
    page.fill("#composer [name=rather_than]", "coffee")
    page.fill("#composer [name=name]", "By hand")
    page.click("#composer [type=submit]")
    page.wait_for_url(f"{url}/jobs/*")
    job = page.url.rpartition("/")[2]
    page.wait_for_selector("text=Queued")
    page.wait_for_selector("text=Rather than")
    assert world.call("GET", f"/v1/jobs/{job}").json()["config"]["rather_than"] is not None
    played = threading.Thread(target=_play, args=(world, job), daemon=True)
    played.start()
    page.wait_for_selector(
        "text=Partial", timeout=20_000 * slowness()
    )  # from the event stream, without a reload
    played.join()
    assert "10 / 10" in page.inner_text("#figures")
    page.click("text=Gallery")
    page.wait_for_selector(".card img")
    page.locator("#grid").press("ArrowRight")
    page.wait_for_selector("#card-1[aria-selected=true]")
    page.locator("#grid").press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.inner_text("#place") == "2 of 10"
    expect(page.locator("#viewer-about")).to_contain_text("0 is black and 1023 white (10 bits by the file)")
    expect(page.locator("#viewer-about")).to_contain_text("a box is cut")
    expect(page.locator("#viewer-close")).to_be_focused()  # Enter opens, Enter closes
    page.click("#after")
    expect(page.locator("#place")).to_have_text("3 of 10")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#place")).to_have_text("2 of 10")
    page.locator("#viewer-opacity").fill("30")
    expect(page.locator("#opacity-value")).to_have_text("30 %")
    page.fill("#flag-note", "the tripod, not the man")
    page.click("#flag-form [type=submit]")
    page.wait_for_selector(".mark", state="attached")
    page.keyboard.press("Escape")
    page.check("#flagged")
    _cards(page, 1)
    assert world.call("GET", f"/v1/jobs/{job}/flags").json()[0]["note"] == "the tripod, not the man"
    with page.expect_download() as download:
        page.click("#export")
    assert "the tripod" in Path(download.value.path()).read_text()


def test_workers_are_shown_with_their_devices(visit: Visit) -> None:
    page = visit.open("/workers")
    expect(page.locator("#rows")).to_contain_text("NVIDIA H200")
    expect(page.locator("#rows")).to_contain_text("140 GiB, torch 2.9.1, 16 CPUs")


def test_photographs_from_this_computer_become_an_interactive_job(
    visit: Visit, site: tuple[str, World]
) -> None:
    url, world = site
    page = visit.open("/jobs")
    page.click("#new")
    expect(page.locator("[name=photographs]")).to_be_enabled()
    page.set_input_files("[name=photographs]", [world.photographs / name for name in world.names[:2]])
    expect(page.locator("#preview figure img")).to_have_count(2)
    assert "deleted after 24 hours" in page.inner_text("#preview")
    assert page.is_disabled("[name=dataset]")
    page.fill("#composer [name=name]", "From here")
    page.click("#composer [type=submit]")
    page.wait_for_url(f"{url}/jobs/*")
    job = world.call("GET", f"/v1/jobs/{page.url.rpartition('/')[2]}").json()
    assert (job["queue"], job["name"], job["config"]["metrics"]) == (
        "interactive",
        "From here",
        ["deletion", "insertion"],
    )
    uploaded = f"uploads/{job['dataset'].removeprefix('upload:')}/"
    assert len(list(world.bucket.list(uploaded))) == 2


def _cards(page: Any, number: int) -> None:
    # wait_for_function would evaluate a string in the page, which its content security policy forbids.
    expect(page.locator(".card")).to_have_count(number)


def _play(world: World, job: str) -> None:
    """Plan and explain the job slowly enough to be watched."""
    while (claim := ledger.claim_control(world.database, "planner", 60.0)) is not None:
        if claim.kind is ControlKind.PLAN:
            bounds = [(at, min(at + 4, 10)) for at in range(0, 10, 4)]
            assert ledger.finish_planning(
                world.database, claim, manifest_key="m", manifest_digest="m" * 64, total=10, shards=bounds
            )
        else:
            assert ledger.finish_control(world.database, claim)
    time.sleep(1.0)
    while world.explain_shard():
        time.sleep(0.3)
    ledger.finish_jobs(world.database)


def test_thousands_of_images_scroll_with_few_elements(visit: Visit, site: tuple[str, World]) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/gallery")
    page.wait_for_selector(".card img")
    shown = page.locator("#shown")

    def at_the_end() -> bool:
        page.mouse.wheel(0, 2500)
        return bool(shown.inner_text() == "400 images")

    _until(page, at_the_end)
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
    page.select_option("#map", "magma")
    _frames(page)
    assert asked == []
    _until(page, lambda: len(held) == 1)
    held.pop().continue_()
    page.wait_for_selector("text=200 of up to 400 images loaded")
    assert len(asked) == 1
    # The answer to an outdated request arrives while the next request is running.
    page.route(f"**/v1/jobs/{job}/results?*", lambda route: held.append(route))
    page.select_option("#status", "error")
    _until(page, lambda: len(held) == 1)
    page.select_option("#status", "")
    _until(page, lambda: len(held) == 2)
    withdrawn, wanted = held
    with page.expect_response("**/results?*status=error*"):
        withdrawn.continue_()
    _frames(page)
    page.evaluate("dispatchEvent(new Event('scroll'))")
    _frames(page)
    wanted.continue_()
    page.wait_for_selector(".card[data-row='0'] img")
    assert page.inner_text("#shown").startswith("200 of up to 400 images loaded")
    assert len(asked) == 3


def _until(page: Any, true: Callable[[], bool], patience_s: float = 10.0) -> None:
    """Process the browser's events until this is true."""
    end = time.monotonic() + patience_s * slowness()
    while not true():
        assert time.monotonic() < end, "it never became true"
        page.wait_for_timeout(20)


def test_an_answer_that_comes_late_replaces_no_newer_one(visit: Visit, site: tuple[str, World]) -> None:
    page = visit.open("/jobs")
    page.wait_for_selector("#jobs td")
    held: list[Any] = []
    page.route("**/v1/jobs?limit=50", lambda route: held.append(route))
    _until(page, lambda: len(held) == 1)  # the list is read again every two seconds
    page.fill("#search", "By class")
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    with page.expect_response("**/v1/jobs?limit=50"):
        held.pop().continue_()
    _frames(page)
    assert page.locator("#jobs tbody tr").count() == 1


def _frames(page: Any) -> None:
    """Wait until the effects of events and observers have been drawn."""
    frame = "new Promise((then) => requestAnimationFrame(then))"
    for _ in range(4):
        page.evaluate(frame)


def test_filters_sorting_opacity_and_comparison_with_another_job(
    visit: Visit, site: tuple[str, World]
) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/gallery")
    page.wait_for_selector(".card img")
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
    box = page.locator("#prediction")
    for wrong in ("coff", "unicorn", "3", "-1"):
        box.fill(wrong)
        box.press("Enter")
        expect(page.locator("#empty")).to_contain_text(f"no class called “{wrong}”")
        expect(box).to_have_attribute("aria-invalid", "true")
        _cards(page, 0)
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


def test_a_link_pasted_into_the_page_that_asks_for_one_signs_in(
    browser: Any, site: tuple[str, World]
) -> None:
    url, world = site
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/sign-in")
    page.wait_for_load_state("networkidle")
    page.goto(
        f"{url}/sign-in#used-before"
    )  # only the part behind the # differs: the page is not loaded again
    page.wait_for_selector("text=has been used, has expired or is unknown")
    assert page.url == f"{url}/sign-in"
    page.goto(f"{url}/sign-in#{create_link(world.database, 60.0)}")
    page.wait_for_url(f"{url}/jobs")
    context.close()


def test_a_gallery_is_filtered_and_grouped_by_a_column_of_the_manifest(
    visit: Visit, site: tuple[str, World], shoot: Callable[[Any, str], None]
) -> None:
    page = visit.open(f"/jobs/{the_job(site[1])}/gallery")
    page.wait_for_selector(".card img")
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
    page.click("#direction")
    expect(page.locator("#shown")).to_contain_text("200 of")


def test_the_gallery_of_a_job_under_way_grows(visit: Visit, site: tuple[str, World]) -> None:
    world = site[1]
    job = world.planned(total=10, size=4, name="Grows", priority=100)
    page = visit.open(f"/jobs/{job}/gallery")
    page.wait_for_selector("text=No results yet")
    assert world.explain_shard()
    _cards(page, 4)  # by themselves
    assert not page.is_visible("#fresh")
    assert world.explain_shard()
    page.click("text=4 more explained: show")
    _cards(page, 8)
    expect(page.locator("#fresh")).to_be_hidden()


def test_a_job_that_is_tried_again_is_watched_again(visit: Visit, site: tuple[str, World]) -> None:
    job = site[1].explained(name="Again")
    page = visit.open(f"/jobs/{job}")
    page.click("text=Try failed images again")
    expect(page.locator("#sub")).to_contain_text("Planning")
    site[1].call("DELETE", f"/v1/jobs/{job}")
    ended = "Partial — its retry was cancelled; 1 of 10 images are error"
    expect(page.locator("#sub")).to_have_text(ended, timeout=10_000 * slowness())  # without a reload


@pytest.mark.parametrize("visit", [(1280, 900), (400, 800)], indirect=True, ids=["1280px", "400px"])
def test_a_job_says_why_it_waits_and_an_image_who_flagged_it(
    visit: Visit, site: tuple[str, World], shoot: Callable[[Any, str], None]
) -> None:
    world, page = site[1], visit.page
    refused = (
        "http://minio.internal.example.org:9000/gfi/" + "parts/" * 12 + "x.parquet: the store has no room"
    )

    def says(job: str, text: str, name: str) -> None:
        visit.open(f"/jobs/{job}")
        expect(page.locator("#sub")).to_contain_text(f"waits: {text}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert _axe(page) == []
        shoot(page, name)

    shard = world.planned(total=8, size=4, name="Shards wait", priority=100)
    claim = ledger.claim_shard(world.database, "w", "explain", 60.0)
    assert claim is not None
    ledger.release_shard(world.database, claim, refused, failure_class="store", transient=True)
    says(shard, f"4 images: {refused}", "waits-shard")
    assert refused in page.inner_text("#failures")
    plan = str(world.submit(name="Planning waits").json()["job"]["id"])
    task = ledger.claim_control(world.database, "host-2:5", 60.0)
    assert task is not None
    ledger.fail_control(world.database, task, refused, outage=True)
    says(plan, f"list a dataset: {refused}; it is tried again", "waits-plan")
    for job in (shard, plan):
        world.call("DELETE", f"/v1/jobs/{job}")
    expect(page.locator("#sub")).to_have_text("Cancelled", timeout=30_000 * slowness())
    first = the_job(world)
    world.call(
        "PUT", f"/v1/jobs/{first}/results/2/flag", json={"flag": "look", "note": "a frame at the edge"}
    )
    visit.open(f"/jobs/{first}/gallery")
    page.locator(".card").nth(2).click()
    owner = page.locator("#flag-owner")
    expect(owner).to_have_text("Flagged by admin-test")
    owner.scroll_into_view_if_needed()
    expect(owner).to_be_in_viewport()
    assert _axe(page) == []
    shoot(page, "flagged")
    world.call("DELETE", f"/v1/jobs/{first}/results/2/flag")


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
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.select_option("#comparison", label="Grad-CAM: explain …")
    expect(page.locator("#comparison")).to_have_value("")
    page.once("dialog", lambda dialog: dialog.accept())
    page.select_option("#comparison", label="Grad-CAM: explain …")
    page.wait_for_selector(".pic em:has-text('not explained yet')")
    other = page.input_value("#comparison")
    played = threading.Thread(target=_play, args=(world, other), daemon=True)
    played.start()
    page.wait_for_selector(".card[data-row='0'] .pic:last-child .over", timeout=20_000 * slowness())
    played.join()
    assert page.inner_text(".card[data-row='0'] .pic:last-child b") == "Grad-CAM"


def test_a_token_is_made_shown_once_and_revoked(visit: Visit) -> None:
    page = visit.open("/tokens")
    page.fill("[name=name]", "ci")
    page.click("text=Create")
    page.wait_for_selector("#made")
    token = page.inner_text("#plain")
    assert token.startswith("gfi_")
    row = page.locator("tr", has_text="ci").first
    page.once("dialog", lambda dialog: dialog.accept())
    row.locator("text=Revoke").click()
    page.wait_for_selector("tr:has-text('ci') >> text=revoked")
    visit.open("/tokens")
    page.wait_for_selector("tr:has-text('ci')")
    assert token not in page.content()


def test_without_a_session_pages_lead_to_the_sign_in(
    browser: Any, site: tuple[str, World], shoot: Callable[[Any, str], None]
) -> None:
    url, _ = site
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/tokens")
    assert page.url == f"{url}/sign-in"
    shoot(page, "sign-in")
    page.fill("#secret", "gfi_wrong")
    page.click("[type=submit]")
    page.wait_for_selector("text=has been used, has expired or is unknown")
    context.close()


@pytest.mark.parametrize("visit", [(1280, 900), (400, 800)], indirect=True, ids=["1280px", "400px"])
def test_versions_of_a_model_are_shown_and_removed(visit: Visit, site: tuple[str, World]) -> None:
    database, name = site[1].database, f"birds-{visit.page.viewport_size['width']}"
    record = model_record() | {"nondeterministic": "the outputs of one image differ by 0.3"}
    for number, note in enumerate(("epoch 30", "x" * 1000, "")):
        ledger.save_model(database, name, f"{number}" * 64, record, actor="ann", note=note)
    ledger.delete_model(database, f"{name}@1")
    page = visit.open("/models")
    row = page.locator("#rows tr", has_text=name)
    expect(row).to_contain_text("Not repeatable: the outputs of one image differ by 0.3")
    row.get_by_role("button", name="Versions").click()
    shown = page.locator("#versions tr")
    expect(shown).to_have_count(2)
    expect(shown.first).to_contain_text("@3")
    expect(shown.first).to_contain_text("ann")
    assert _axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.on("dialog", lambda dialog: dialog.accept())
    for left in (1, 0):
        shown.first.get_by_role("button", name="Remove").click()
        expect(shown if left else row).to_have_count(left)
    expect(page.locator("#versions-panel")).to_be_hidden()
    assert queries.find_model(database, name) is None

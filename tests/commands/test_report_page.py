"""The report in a headless Chromium, opened from disk: what a reader does with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.results.contents import find_contents
from forget512.harness.store.backends.folder import Folder
from forget512.harness.views.html.page import write_page
from support.browser import open_browser
from support.synthetic import fill

NASTY = "<script>window.hacked=1<script><img src=x onerror=window.hacked=1>"
ALL_CHARTS = "#candidate-body figure:nth-child(6) .main-svg"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Of digits, with three candidates of 10 runs."""
    folder = tmp_path_factory.mktemp("browser")
    benchmark = make_benchmark("digits", forget_fraction=0.05)  # 72 images: two pages
    candidates = {"near": (0.1, 0.9), "far": (0.8, 0.6), NASTY: (1.5, 0.4)}
    fill(folder / "store", benchmark.description, candidates, 10)
    write_page(find_contents(Folder(folder / "store")), folder / "report", dataset=benchmark.dataset)
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: browser tests are not run")
    opened = open_browser()
    try:
        found = opened.__enter__()
    except playwright.Error as error:
        pytest.skip(f"no Chromium that starts (apt-get install chromium): {str(error).splitlines()[0]}")
    yield found
    opened.__exit__(None, None, None)


@pytest.fixture
def visit(browser, report):
    """visit("#examples", color_scheme="dark", …): a page; afterwards it must have no error and no request elsewhere."""
    contexts, wrong = [], []

    def open_at(where: str = "", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith("file:") else wrong.append(request.url))
        page.goto(report.as_uri() + where)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert [text for text in wrong if not text.startswith("data:")] == []


def names(page):
    return page.locator("#board-table tbody th").all_inner_texts()


def test_the_board_is_sorted_by_a_click_on_a_header_and_turned_by_another(visit):
    page = visit()
    assert names(page) == ["near", "far", NASTY]
    page.get_by_role("button", name="Algorithm").click()
    assert names(page) == sorted(names(page), key=str.lower)
    page.get_by_role("button", name="Score").click()
    assert names(page) == ["near", "far", NASTY]
    page.get_by_role("button", name="Score").click()
    assert names(page) == [NASTY, "far", "near"]
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_the_board_can_be_sorted_and_left_by_the_keyboard(visit):
    page = visit()
    page.get_by_role("button", name="Runs").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the header beside it
    assert page.locator("th[aria-sort]").inner_text().startswith("s / run")
    page.get_by_role("link", name="near").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(ALL_CHARTS)
    assert page.locator("nav a[aria-current]").inner_text() == "Candidate"


def test_a_candidate_shows_its_charts_and_warnings(visit):
    page = visit("#candidate")
    page.wait_for_selector(ALL_CHARTS)
    titles = page.locator("#candidate-body figcaption").all_inner_texts()
    assert [title.splitlines()[0].split(",")[0] for title in titles] == [
        "Confidences on the forget set",
        "Confidences on the retain set (probe)",
        "ε of the forget examples",
        "F against N",
        "Accuracy ratios by run",
        "Seconds by run",
    ]
    readings = page.locator("#candidate-body li").all_inner_texts()
    assert readings[0].startswith("F against N: 8:") and readings[-1].startswith("two-sample tests")
    assert "cannot be interpreted" in page.locator("#candidate-body .warning").first.inner_text()  # 10 runs are few
    page.select_option("#candidate-choice", label="far")
    page.wait_for_function("location.hash.startsWith('#candidate/')")


def test_the_explorer_shows_the_image_that_is_clicked_with_its_attack(visit):
    page = visit("#examples")
    page.wait_for_selector("#examples-detail .main-svg")
    epsilons = [float(text.split()[1]) for text in page.locator(".example span:nth-child(2)").all_inner_texts()]
    assert epsilons == sorted(epsilons, reverse=True) and len(epsilons) == 60
    third = page.locator("#examples-grid .example").nth(2)
    assert "thumbnails.png" in third.locator(".picture").get_attribute("style")
    third.click()
    chosen = third.get_attribute("data-example")
    page.wait_for_selector(f'#examples-detail figure[data-example="{chosen}"] .main-svg')
    text = page.locator("#examples-detail").inner_text()
    assert "The best attack calls a run" in text and f"ε = {epsilons[2]:.2f}" in text
    assert page.locator("#examples-detail .shapelayer path").count() >= 2  # what it calls positive, and a threshold
    assert third.get_attribute("aria-pressed") == "true"


def test_the_explorer_is_used_by_the_keyboard(visit):
    page = visit("#examples")
    page.wait_for_selector("#examples-detail .main-svg")
    page.locator("#examples-grid .example").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    second = page.locator("#examples-grid .example").nth(1)
    assert page.evaluate("document.activeElement.dataset.example") == second.get_attribute("data-example")
    page.keyboard.press("Enter")
    page.wait_for_selector(f'#examples-detail figure[data-example="{second.get_attribute("data-example")}"]')


def test_the_explorer_turns_pages_and_filters_by_class(visit):
    page = visit("#examples")
    page.wait_for_selector("#examples-detail .main-svg")
    page.click("#examples-on")
    assert page.locator("#examples-where").inner_text() == "61–72 of 72"
    page.select_option("#examples-class", "3")
    page.wait_for_function("!document.getElementById('examples-where').textContent.endsWith('of 72')")
    assert set(page.locator(".example span:nth-child(3)").all_inner_texts()) == {"class 3"}


def test_head_to_head_says_which_is_better_and_where(visit):
    page = visit("#versus")
    page.wait_for_selector("#versus-body .main-svg")
    assert "near" in page.locator("#versus-body p").first.inner_text()
    assert page.locator("#versus-body .point").count() == 72
    assert page.locator("#versus-body h3").all_inner_texts() == ["Where near is better", "Where far is better"]
    first = page.locator("#versus-body .example").first
    good, bad = (float(text.split()[1]) for text in first.locator("span:not(.picture)").all_inner_texts())
    assert good < bad
    first.click()
    page.wait_for_selector(f'#examples-detail figure[data-example="{first.get_attribute("data-example")}"]')


def test_a_name_with_a_script_in_it_is_only_text(visit):
    page = visit("#versus")
    page.wait_for_selector("#versus-body .main-svg")
    page.select_option("#versus-second", label=NASTY)
    page.wait_for_function(f"document.querySelector('#versus-body .ytitle')?.textContent.includes({NASTY!r})")
    page.select_option("#versus-first", label=NASTY)
    for view in ("#board", "#candidate", "#examples", "#made"):
        page.goto(page.url.split("#")[0] + view)
        page.wait_for_timeout(50)
    assert page.evaluate("window.hacked") is None


def test_how_it_was_made_names_the_benchmark_and_the_versions(visit):
    text = visit("#made").locator("#view-made").inner_text()
    assert "resnet8-thin" in text and "torch 2.6 (10)" in text and "number = 1" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_until_the_reader_chooses(visit, scheme):
    page = visit(color_scheme=scheme)

    def brightness():
        return page.evaluate("+getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")

    assert (brightness() > 128) == (scheme == "light")
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: light" and brightness() > 128
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: dark" and brightness() < 128


@pytest.mark.parametrize("view", ["#board", "#candidate", "#examples", "#versus", "#made"])
def test_no_view_is_wider_than_a_phone(visit, view):
    page = visit(view, viewport={"width": 390, "height": 844})
    if view in ("#candidate", "#examples", "#versus"):
        page.wait_for_selector(f"#view-{view[1:]} .main-svg")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

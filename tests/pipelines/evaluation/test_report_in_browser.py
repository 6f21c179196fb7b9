"""The report as a reader gets it: opened from the disk in headless Chromium."""

import shutil

import pytest

from headstart.pipelines.evaluation.report import render_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

EVERY_PLOT_IS_DRAWN = """() => [...document.querySelectorAll(".plot")].filter((plot) => {
  const marks = [...plot.querySelectorAll(".scatterlayer path")];
  return !marks.some((mark) => mark.getBBox().width + mark.getBBox().height > 1);
}).map((plot) => plot.id)"""
SMALL_TEXTS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const small = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || parent.closest("script, noscript")) continue;
    if (parseFloat(getComputedStyle(parent).fontSize) < 16) small.push(parent.outerHTML);
  }
  return small;
}"""
HEIGHTS = """() => [...document.querySelectorAll("#target-0-labels .scatterlayer path.js-line")]
  .map((line) => line.getAttribute("d")).join()"""


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(BROWSERS)})")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(experiment, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_report(**experiment.arguments()), encoding="utf-8")
    return file


@pytest.fixture
def visit(browser):
    """Opens a file, and afterwards asserts that it was quiet: no error and no request."""
    complaints, pages = [], []

    def open_page(file, width=1280, scheme="light", touch=False):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=touch
        )
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        address = file.as_uri()
        page.on(
            "request",
            lambda request: (
                request.url == address
                or request.url.startswith("data:")
                or complaints.append(request.url)
            ),
        )
        page.goto(address)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_plot_is_drawn_and_the_page_fits(visit, file, width, scheme):
    page = visit(file, width, scheme, touch=width < 400)
    assert page.locator(".plot.js-plotly-plot").count() == page.locator(".plot").count() == 26
    assert page.evaluate(EVERY_PLOT_IS_DRAWN) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SMALL_TEXTS) == []
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(255, 255, 255)") == (scheme == "light")
    text = page.locator("#target-0-labels .xtick text").first
    assert text.evaluate("t => getComputedStyle(t).fill") == page.evaluate(
        "getComputedStyle(document.body).color"
    )


def test_the_switches_change_what_is_drawn(visit, file):
    page = visit(file)
    switches = page.locator('[data-switch="metric"]')
    before = page.evaluate(HEIGHTS)
    switches.first.select_option("nll")
    after = page.evaluate(HEIGHTS)
    assert before != after
    title = page.locator("#target-0-labels .ytitle")
    assert title.text_content() == "NLL (lower is better)"
    assert {switches.nth(i).input_value() for i in range(switches.count())} == {"nll"}
    assert page.locator('[data-of="metric"]:visible').count() == 2

    lines = page.locator("#target-0-labels .scatterlayer .trace")
    shown = lines.count()
    buttons = page.locator('[data-plot="target-0-labels"][data-hides]')
    at_first = page.locator('[data-plot="target-0-labels"][aria-pressed="true"]').first
    hides = at_first.get_attribute("data-hides")
    button = page.locator(f'[data-plot="target-0-labels"][data-hides="{hides}"]')
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert lines.count() < shown
    button.click()
    assert lines.count() == shown
    # The other methods of a representation are drawn when they are asked for.
    hidden = page.locator('[data-plot="target-0-labels"][aria-pressed="false"]')
    assert 0 < hidden.count() < buttons.count()
    hidden.first.click()
    assert lines.count() > shown

    page.locator('[data-highlight="target-0"]').select_option("3")
    opacities = "paths => paths.map((p) => getComputedStyle(p).opacity)"
    points = page.locator("#target-0-map-0 .point").evaluate_all(opacities)
    assert points.count("1") == 10

    curve = "() => document.querySelector('#target-0-training .js-line').getAttribute('d')"
    before = page.evaluate(curve)
    page.locator('[data-switch="target-0-shots"]').select_option("1")
    assert page.evaluate(curve) != before

    title = page.locator("#source-0-curves-0 .ytitle")
    assert title.text_content() == "loss"
    page.locator('[data-switch="pretext"]').first.select_option("score")
    assert title.text_content() == "score"


def test_the_leaderboard_sorts_and_empty_cells_stay_last(visit, file):
    page = visit(file)
    table = page.locator(".sortable").first
    gain = "rows => rows.map((r) => parseFloat(r.cells[2].dataset.value))"
    heading = table.get_by_role("button", name="Gain")
    for direction in ("descending", "ascending"):
        heading.click()
        assert table.locator(f'th[aria-sort="{direction}"]').count() == 1
        *values, last = table.locator("tbody tr").evaluate_all(gain)
        assert last != last
        assert values == sorted(values, reverse=direction == "descending")


def test_colors_follow_the_reader_while_the_page_is_open(visit, file):
    page = visit(file)
    fill = "document.querySelector('#target-0-labels .xtick text').style.fill"
    before = page.evaluate(fill)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{fill} !== '{before}'")


def test_two_hundred_long_names_and_one_seed_fit_a_phone(visit, build, tmp_path):
    names = [f"<i>{'longname' * 9}</i> {i}" for i in range(200)]
    many = build({"t": names}, {"t": [1]}, {"t": 5}, seeds=1, trained_seeds=1)
    file = tmp_path / "report.html"
    file.write_text(render_report(**many.arguments()), encoding="utf-8")
    page = visit(file, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(EVERY_PLOT_IS_DRAWN) == []


def test_a_finger_on_a_plot_scrolls_the_page(visit, file):
    page = visit(file, width=390, touch=True)
    page.locator("#target-0-labels").evaluate("p => p.scrollIntoView({behavior: 'instant'})")
    before = page.evaluate("scrollY")
    touch = page.context.new_cdp_session(page)

    def send(kind, *heights):
        points = [{"x": 200, "y": y} for y in heights]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 260)
    for y in range(250, 100, -10):
        send("touchMove", y)
    send("touchEnd")
    page.wait_for_function(f"scrollY > {before} + 50")


def test_few_shot_tasks_are_drawn_and_their_switches_are_their_own(visit, few_shot, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(render_report(**few_shot.arguments()), encoding="utf-8")
    page = visit(file, width=390)
    assert page.locator(".plot.js-plotly-plot").count() == page.locator(".plot").count() == 12
    assert page.evaluate(EVERY_PLOT_IS_DRAWN) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(SMALL_TEXTS) == []

    curve = "() => document.querySelector('#target-0-steps .js-line').getAttribute('d')"
    before = page.evaluate(curve)
    page.locator('[data-switch="target-0-steps"]').select_option("1-query")
    assert page.evaluate(curve) != before

    # Sinusoids have one score, which choosing another one elsewhere does not hide.
    title = page.locator("#target-0-labels .ytitle")
    page.locator('[data-switch="metric"]').first.select_option("accuracy_transductive")
    assert title.text_content() == "Transductive accuracy"
    assert page.locator("#target-1-labels .ytitle").text_content() == "MSE (lower is better)"
    assert page.locator('[data-of="metric"]:visible').count() == 2


def test_the_report_of_a_real_run(visit, test_run):
    page = visit(test_run / "data/test/08_reporting/report.html", width=390)
    assert page.locator(".plot.js-plotly-plot").count() == page.locator(".plot").count() > 0
    assert page.evaluate(EVERY_PLOT_IS_DRAWN) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

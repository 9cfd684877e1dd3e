"""The built pages in a real browser, on a phone and on a desk, in light and in dark.

Nothing is cut off, missing, too pale to be read or wider than the window, and the console is
silent (`page_checks.js`). These are ten pages; `make site-test` opens all of them. The tests are
skipped where there are no pages (`make docs` builds them), no Chromium or no Selenium. With
FASTBP_REQUIRE_BROWSER=1, which continuous integration sets, they fail there. Screenshots of the ten
pages are left in docs/_build/screenshots.
"""

from pathlib import Path

import browser_helpers
import pytest

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
SCREENSHOTS = SITE.parent / "screenshots"
CHECKS = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")
WIDTHS = 390, 1280
THEMES = "light", "dark"

# Page -> the least number of formulas and of pictures that it has.
PAGES = {
    "index": (0, 3),
    "getting_started": (0, 0),
    "mathematics": (3, 0),
    "performance": (0, 0),
    "command_line": (0, 1),
    "api": (0, 0),
    "generated/api/fastbp.Network": (0, 0),
    "generated/lesson/3_derivation": (20, 2),
    "generated/examples/index": (0, 20),
    "generated/examples/pictures": (0, 1),
}


def pytest_generate_tests(metafunc):
    if "page" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-page")
        built = sorted(path.relative_to(SITE) for path in SITE.rglob("*.html")) if every else []
        metafunc.parametrize("page", [path.with_suffix("").as_posix() for path in built] or PAGES)


@pytest.fixture(scope="module")
def browser():
    built = (SITE / "index.html").exists()
    with browser_helpers.chrome(
        "" if built else "the site is not built; `make docs` does that"
    ) as one:
        SCREENSHOTS.mkdir(exist_ok=True)
        yield one


def window(browser, width, theme, height=900):
    """A phone's or a desk's window; the browser itself makes none narrower than 500 px."""
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )


def visit(browser, page):
    browser.get((SITE / f"{page}.html").as_uri())
    # Pictures further down would load when they are scrolled to.
    browser.execute_script("for (const i of document.images) i.loading = 'eager'")
    browser.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([...document.images].map(i => i.decode().catch(() => null))).then(done)"
    )


def count(browser, selector):
    return browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector)


def test_page(browser, page):
    visit(browser, page)
    formulas, pictures = PAGES.get(page, (0, 0))
    assert count(browser, "article math") >= formulas
    assert count(browser, "article img") >= pictures
    wrong = []
    for width in WIDTHS:
        for theme in THEMES:
            window(browser, width, theme)
            wrong += [(width, theme, found) for found in browser.execute_script(CHECKS)]
            if page in PAGES:
                height = browser.execute_script("return document.documentElement.scrollHeight")
                window(browser, width, theme, min(height, 8000))
                name = f"{page.replace('/', '-')}-{width}-{theme}.png"
                browser.save_screenshot(SCREENSHOTS / name)
    assert wrong == []
    assert browser.get_log("browser") == []
    loaded = "return performance.getEntriesByType('resource').map(r => r.name)"
    assert all(name.startswith(("file:", "data:")) for name in browser.execute_script(loaded))


@pytest.mark.parametrize(
    ("style", "theme", "found"),
    [
        ("article p { width: 500px }", "light", "wider than the window"),
        ("article p { color: #888 }", "light", "contrast of 3.5"),
        ("article p { color: #666 }", "dark", "contrast of 3."),
        ("div.math { height: 20px }", "light", "cut above or below"),
        ("div.math > math { margin-left: -9px }", "light", "cut at a side"),
    ],
)
def test_checks_find_what_is_wrong(browser, style, theme, found):
    window(browser, 390, theme)
    visit(browser, "mathematics")
    browser.execute_script(
        "document.head.append(Object.assign(document.createElement('style'), "
        "{textContent: arguments[0]}))",
        style,
    )
    assert any(found in sentence for sentence in browser.execute_script(CHECKS))


def test_code_is_copied_without_prompts_and_output(browser):
    visit(browser, "getting_started")
    browser.execute_script(
        "document.addEventListener('copy', event => { window.copied = event.target.value })"
    )
    block = "[...document.querySelectorAll('.highlight')].find(e => e.innerText.includes('score'))"
    button = browser.execute_script(f"return {block}.querySelector('.copybtn')")
    browser.execute_script(
        "arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", button
    )
    button.click()
    assert browser.execute_script("return window.copied").splitlines() == [
        "probabilities = net.predict(X_test)",
        "probabilities.shape",
        "net.score(X_test, y_test) > 0.96  # the accuracy",
    ]


def test_fractions_are_laid_out(browser):
    """A browser that did not know MathML would write numerator and denominator in a row."""
    visit(browser, "generated/lesson/3_derivation")
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('math mfrac')].map(f => [...f.children].map("
        "c => c.getBoundingClientRect())).map(([n, d]) => [n.bottom, d.top])"
    )
    assert len(boxes) >= 10
    assert all(numerator <= denominator + 1 for numerator, denominator in boxes)


def test_search(browser):
    browser.get((SITE / "search.html").as_uri() + "?q=backpropagation")
    browser.implicitly_wait(10)
    results = browser.find_elements("css selector", "#search-results li a")
    assert len(results) >= 2

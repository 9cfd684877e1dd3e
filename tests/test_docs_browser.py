"""The built pages in a real browser: equations and pictures are drawn, the console is silent.

Skipped where there are no pages (`make docs` builds them), no Chromium or no Selenium; a failure
there with FASTBP_REQUIRE_BROWSER=1, which continuous integration sets. Screenshots are left in
docs/_build/screenshots, to be looked at.
"""

from pathlib import Path

import browser_helpers
import pytest

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
SCREENSHOTS = SITE.parent / "screenshots"

# Page -> the least number of formulas and of pictures that it has.
PAGES = {
    "index": (0, 0),
    "getting_started": (0, 0),
    "mathematics": (3, 0),
    "networks": (2, 0),
    "kernels": (0, 0),
    "api": (0, 0),
    "generated/api/fastbp.Network": (0, 0),
    "generated/lesson/index": (0, 5),
    "generated/lesson/1_no_hidden_layer": (8, 2),
    "generated/lesson/2_hidden_units": (4, 1),
    "generated/lesson/3_derivation": (20, 2),
    "generated/lesson/4_own_step": (3, 1),
    "generated/lesson/5_one_line": (0, 1),
    "generated/examples/index": (0, 1),
    "generated/examples/pictures": (0, 1),
    "generated/examples/boundaries": (0, 1),
    "generated/examples/trust": (0, 1),
}


@pytest.fixture(scope="module")
def browser():
    built = (SITE / "index.html").exists()
    with browser_helpers.chrome(
        "" if built else "the site is not built; `make docs` does that"
    ) as one:
        SCREENSHOTS.mkdir(exist_ok=True)
        yield one


def visit(browser, page, width=1300):
    browser.set_window_size(width, 1000)
    browser.get((SITE / f"{page}.html").as_uri())
    # Pictures further down load when they are scrolled to, and formulas are laid out at once.
    browser.execute_script("for (const i of document.images) i.loading = 'eager'")
    browser.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([...document.images].map(i => i.decode().catch(() => null))).then(done)"
    )


def measure(browser, selector):
    """[width, height] of everything that is found."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.getBoundingClientRect())"
        ".map(r => [r.width, r.height])",
        selector,
    )


def screenshot(browser, name, width):
    height = browser.execute_script("return document.documentElement.scrollHeight")
    browser.set_window_size(width, min(height + 100, 12000))
    browser.save_screenshot(SCREENSHOTS / f"{name.replace('/', '-')}-{width}.png")


@pytest.mark.parametrize("width", [1300, 420])
@pytest.mark.parametrize("page", PAGES)
def test_page(browser, page, width):
    visit(browser, page, width)
    formulas, pictures = PAGES[page]
    sizes = measure(browser, "article math")
    assert len(sizes) >= formulas
    assert all(w > 4 and h > 4 for w, h in sizes)
    images = browser.execute_script(
        "return [...document.querySelectorAll('article img')].map(i => i.naturalWidth)"
    )
    assert len(images) >= pictures
    assert all(images)
    screenshot(browser, page, width)
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(overflow) == 0, "the page is wider than the window"
    assert browser.get_log("browser") == []
    loaded = "return performance.getEntriesByType('resource').map(r => r.name)"
    assert all(name.startswith(("file:", "data:")) for name in browser.execute_script(loaded))


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

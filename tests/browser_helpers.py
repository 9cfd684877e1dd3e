"""Chromium for tests, without a network; tests are skipped where it is not installed.

With FASTBP_REQUIRE_BROWSER=1, as in continuous integration, they fail there instead.
"""

import contextlib
import importlib.util
import os
import shutil

import pytest


def missing():
    """What is needed and cannot be found, or an empty string."""
    if importlib.util.find_spec("selenium") is None:
        return "Selenium is not installed; `pip install selenium` does that"
    if not (shutil.which("chromium") or shutil.which("google-chrome")):
        return "no Chromium is installed"
    if not shutil.which("chromedriver"):
        return "Chromium's chromedriver is not installed"
    return ""


@contextlib.contextmanager
def chrome(reason=""):
    """A headless browser; or a skipped test, for the given reason or for what is missing."""
    if reason := reason or missing():
        if os.environ.get("FASTBP_REQUIRE_BROWSER") == "1":
            pytest.fail(f"FASTBP_REQUIRE_BROWSER=1, but: {reason}", pytrace=False)
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for argument in (
        "--headless=new",
        "--no-sandbox",  # which root, in a container, cannot have
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",  # no network is needed
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.ChromeService(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options, driver)
    try:
        yield browser
    finally:
        browser.quit()

"""A headless Chromium driven by its own driver, as Debian packages them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

INSTALL = "apt-get install --no-install-recommends chromium chromium-driver"


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """A browser; without one the test is skipped, but fails where CI is set."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        missing = "Chromium" if browser is None else "chromedriver"
        reason = f"The report is not looked at in a browser: {missing} was not found; install it with '{INSTALL}'."
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        # Containers and root have no sandbox; the page is our own file.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
        "--force-device-scale-factor=1",
        "--hide-scrollbars",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    page = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield page
    finally:
        page.quit()


def resize(page: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Give the page a window of this size in pixels, from now on; one that narrow as a phone behaves like a phone."""
    # Not by --window-size: a desktop's window has a least width, a phone's has not.
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )

"""A real browser, for what a reader sees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = {"phone": 390, "desktop": 1280}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium: the system's, or the one that CHROMIUM names."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail(
            "NO BROWSER: install Chromium (such as `apt-get install chromium`), or name one in the "
            "environment variable CHROMIUM"
        )
    with sync_playwright() as driver:
        # Root, as in containers, cannot have the sandbox.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        started = driver.chromium.launch(executable_path=found, args=sandbox)
        yield started
        started.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> Iterator[Any]:
    """A page as wide as a phone, or as a desktop; what it asks for and complains of is kept."""
    context = browser.new_context(viewport={"width": WIDTHS[request.param], "height": 844})
    opened: Any = context.new_page()
    opened.asked, opened.complaints = [], []
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("dialog", lambda dialog: opened.complaints.append(dialog.message))
    yield opened
    shots = os.environ.get("NUDGE_SCREENSHOTS")
    if shots:
        Path(shots).mkdir(parents=True, exist_ok=True)
        opened.screenshot(path=f"{shots}/{request.node.name}.png", full_page=True)
    context.close()

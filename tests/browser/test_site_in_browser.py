"""The documentation as a reader sees it; `make docs` builds it first."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pages import ROOT

pytestmark = pytest.mark.browser

SITE = ROOT / "build" / "site"
NAVIGATION = re.findall(r": ([\w/-]+)\.md$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without writing a line for each."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Where the built site is served."""
    assert (SITE / "index.html").is_file(), f"{SITE} is not there: `make docs` builds it"
    handler = functools.partial(Quiet, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", NAVIGATION)
def test_every_page_fits_and_shows_what_it_names(name: str, page: Any, site: str) -> None:
    page.goto(f"{site}/{name}.html")
    page.wait_for_load_state("load")

    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.complaints == []
    assert not [url for url in page.asked if not url.startswith(("data:", site))]
    pictures = "Array.from(document.querySelectorAll('article img'), each => each.naturalWidth)"
    assert 0 not in page.evaluate(pictures)
    assert len(page.locator("article").inner_text()) > 300


def test_the_reference_shows_signatures_and_words(page: Any, site: str) -> None:
    page.goto(f"{site}/reference/stores.html")
    article = page.locator("article").inner_text()
    for words in ("open_store", "embed_query", "Raises", "recover", "PlanReport"):
        assert words in article


@pytest.mark.parametrize("name", ["migrating", "guides/evaluation"])
def test_no_code_is_cut(name: str, page: Any, site: str) -> None:
    if page.viewport_size["width"] < 1000:
        pytest.skip("on a phone code may be scrolled")
    page.goto(f"{site}/{name}.html")
    cut = "each => each.scrollWidth > each.clientWidth + 1"
    found = f"Array.from(document.querySelectorAll('pre code')).filter({cut}).length"
    assert page.locator("pre code").count() >= 3
    assert page.evaluate(found) == 0


@pytest.mark.parametrize("place", ["server", "folder"])
def test_the_search_finds_a_page(place: str, page: Any, site: str) -> None:
    page.goto(f"{site if place == 'server' else SITE.as_uri()}/index.html")
    if page.viewport_size["width"] < 1000:
        page.locator("label[for=__search]").first.click()
    page.locator(".md-search__input").press_sequentially("protect_unseen", delay=50)
    page.locator(".md-search-result__link").first.wait_for(timeout=20_000)
    assert "method" in page.locator(".md-search-result__list").inner_text().lower()

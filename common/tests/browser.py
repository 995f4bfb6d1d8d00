"""The admin in a real browser: Debian's Chromium, and what went wrong in a page of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 30_000
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


class Browser:
    """A page and what went wrong in it: errors in the console, requests to anywhere else."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.troubles: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda said: self._note(said.text, said.type in ("error", "warning")))
        page.on("pageerror", lambda raised: self._note(str(raised), True))
        page.on("response", lambda answer: self._note(answer.url, answer.status >= 400))
        page.on("request", lambda asked: self._note(asked.url, self._is_elsewhere(asked.url)))

    def _note(self, text: str, is_trouble: bool) -> None:
        if is_trouble:
            self.troubles.append(text)

    def _is_elsewhere(self, url: str) -> bool:
        return not url.startswith((self.base, "data:", "blob:"))

    def open(self, path: str) -> None:
        self.page.goto(f"{self.base}/admin/{path}")
        self.page.wait_for_load_state("networkidle")

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.fill(f"[name={name}]", value)

    def choose(self, name: str, text: str) -> None:
        """Choose a record by typing its name."""
        self.page.locator(f"select[name={name}] + span.select2").click()
        self.page.fill(".select2-search__field", text)
        self.page.locator(".select2-results__option", has_text=text).first.click()

    def save(self) -> None:
        self.page.click("button[name=_save], input[name=_save]")
        self.page.wait_for_load_state("networkidle")
        expect(self.page.get_by_text("was added successfully")).to_be_visible()

    def picture(self, name: str, is_whole: bool = True) -> None:
        folder, window = os.environ.get("SCREENSHOTS"), self.page.viewport_size
        if not folder or not window:
            return
        if is_whole:
            # A window as high as the page, or its bar of buttons would hide the middle.
            height = self.page.evaluate("document.documentElement.scrollHeight")
            self.page.set_viewport_size(window | {"height": height})
        self.page.screenshot(path=Path(folder) / f"{name}.png")
        self.page.set_viewport_size(window)

    def is_wider_than_its_window(self) -> bool:
        script = "document.documentElement.scrollWidth > window.innerWidth + 1"
        return bool(self.page.evaluate(script))


@contextmanager
def opened(base: str) -> Iterator[Browser]:
    """Yield a browser; where the machine has none, a test fails."""
    # As long as a page may take, on a machine that is busy.
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield Browser(chromium.new_page(viewport=WIDE, timezone_id="Asia/Tokyo"), base)
        chromium.close()

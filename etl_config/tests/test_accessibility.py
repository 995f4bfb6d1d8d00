"""No page of the admin has what keeps somebody from it: axe-core, in Debian's Chromium.

What the theme makes, and no template of ours reaches, is listed here and in `docs/admin.md`.
"""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from common.tests.browser import NARROW
from common.tests.client import direct, document, made
from mappings.tests.conftest import connection_to, postgres

__all__ = ["postgres"]

OF_THE_THEME: list[str] = []
"""Selectors of what the theme leaves, and nobody else can mend."""
OPTIONS = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
ROWS = "SELECT 1 AS a, 'x' AS b"
SERIOUS = ("serious", "critical")


def violations(page):
    found = Axe().run(page, {"exclude": [[one] for one in OF_THE_THEME]}, OPTIONS).response
    return [
        (one["id"], node["target"], node["any"] or node["all"] or node["none"])
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


def test_no_page_has_a_serious_violation(browser, api, stored, postgres):
    connection = connection_to(api, postgres.params)
    mapping = made(
        api, "mappings", name="orders", source_connection_id=connection, source_query=ROWS
    )
    api.create(f"mappings/{mapping['id']}/column-mappings", direct("a", "id"))
    run = api.post(f"mappings/{mapping['id']}/runs").json()["id"]
    schedule = document(stored, "schedules", mapping_id=stored.mappings.find_one()["_id"])
    pages = [
        "",
        "connections/connection/",
        f"connections/connection/{mapping['source_connection_id']}/change/",
        f"schemas/schema/{mapping['target_schema_id']}/change/",
        f"mappings/mapping/{mapping['id']}/change/",
        f"schedules/schedule/{schedule['_id']}/change/",
        f"mappings/mapping/{mapping['id']}/history/",
        f"mappings/mapping/{mapping['id']}/lineage/",
        "runs/run/",
        f"runs/run/{run}/change/",
        "runs/run/timeline/",
        "targets/target/add/",
        "notifications/notification/add/",
        "access/token/add/",
        "auth/user/add/",
        "password_change/",
    ]
    browser.open("")
    found = {"login": violations(browser.page)}
    browser.fill(username="admin", password="to-log-in")
    browser.page.click("button[type=submit]")
    expect(browser.page.get_by_text("Connections by last test")).to_be_visible()
    for path in pages:
        browser.page.goto(f"{browser.base}/admin/{path}")
        # Made by the theme's script, after the page was loaded.
        expect(browser.page.locator(".select2-selection:not([aria-label])")).to_have_count(0)
        found[path] = violations(browser.page)
    browser.page.emulate_media(color_scheme="dark")
    browser.page.set_viewport_size(NARROW)
    for path in (pages[4], pages[5], pages[6], pages[9]):
        browser.open(path)
        assert not browser.is_wider_than_its_window(), path
        found[f"{path}, dark and narrow"] = violations(browser.page)
    assert {path: one for path, one in found.items() if one} == {}
    assert browser.troubles == []

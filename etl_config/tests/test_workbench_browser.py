"""The page of a mapping by keyboard alone, and in a narrow window."""

import pytest
from playwright.sync_api import expect

from common.tests.browser import NARROW
from common.tests.client import direct, made
from mappings.tests.conftest import connection_to, onto, postgres

__all__ = ["postgres"]

ROWS = "SELECT n AS a, 'x' AS b FROM generate_series(1, 50) AS n"


@pytest.fixture
def page(browser, api, postgres):
    """The page of a mapping with one rule."""
    mapping = made(
        api,
        "mappings",
        source_connection_id=connection_to(api, postgres.params),
        source_query=ROWS,
        target_schema_id=onto(api, id="integer", name="string", more="integer"),
    )
    api.create(f"mappings/{mapping['id']}/column-mappings", direct("a", "id"))
    browser.open("")
    browser.fill(username="admin", password="to-log-in")
    browser.page.click("button[type=submit]")
    expect(browser.page.get_by_text("Connections by last test")).to_be_visible()
    browser.open(f"mappings/mapping/{mapping['id']}/change/")
    return browser.page


def box(page, side, name):
    return page.locator(f"#etl-picture .box[data-side={side}][data-name='{name}']")


def is_above_the_bar(page, place):
    bar = page.locator("button[name=_save]").bounding_box()
    found = place.bounding_box()
    return found["y"] >= 0 and found["y"] + min(found["height"], 300) <= bar["y"]


def test_ctrl_enter_previews_in_the_editor_and_at_it(page):
    for place in (".ace_text-input", ".ace_scroller"):
        page.locator(place).focus()
        page.keyboard.press("Control+Enter")
        expect(page.locator("#etl-preview")).to_contain_text("50 rows")
        page.locator("#etl-preview").evaluate("part => part.replaceChildren()")


def test_a_preview_closes_what_the_editor_proposes(page):
    page.locator(".ace_text-input").focus()
    page.keyboard.press("Control+End")
    page.keyboard.type(" wh")
    expect(page.locator(".ace_autocomplete")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".ace_autocomplete")).to_be_hidden()
    expect(page.locator("#etl-preview")).to_contain_text("refused")


def test_what_was_asked_for_is_not_behind_the_bar_of_buttons(page):
    button = page.locator("#etl-dry-run")
    page.evaluate("scrollTo(0, 0)")
    button.focus()
    assert is_above_the_bar(page, button)
    page.keyboard.press("Enter")
    expect(page.locator("#etl-target-rows")).to_contain_text("50 target rows")
    page.wait_for_function(
        "document.querySelector('#etl-target-rows table').getBoundingClientRect().top < "
        "document.querySelector('button[name=_save]').getBoundingClientRect().top - 200"
    )


def test_the_focus_stays_in_the_picture_while_one_connects(page):
    for side, name in (("source", "b"), ("target", "name")):
        box(page, side, name).press("Enter")
    page.locator("[data-connect]").press("Enter")
    expect(box(page, "source", "b")).to_be_focused()
    page.keyboard.press("Enter")
    page.locator("[data-disconnect]").press("Enter")
    expect(box(page, "source", "b")).to_be_focused()


def test_a_narrow_window_shows_both_sides_of_the_picture(page):
    page.set_viewport_size(NARROW)
    expect(page.locator("svg.etl-narrow")).to_be_visible()
    for side, name in (("source", "a"), ("target", "id")):
        found = box(page, side, name).bounding_box()
        assert found["x"] >= 0
        assert found["x"] + found["width"] <= NARROW["width"]


def test_every_problem_stands_beside_its_rule_where_no_rule_can_run(page):
    page.fill("[name=column_mappings-0-source_columns]", "aa")
    page.click("#etl-dry-run")
    told = page.locator("tr", has=page.locator("[name=column_mappings-0-type]"))
    expect(told.locator(".etl-problems")).to_contain_text('does not return the column "aa"')
    expect(page.locator("#etl-target-rows")).to_contain_text("refused")

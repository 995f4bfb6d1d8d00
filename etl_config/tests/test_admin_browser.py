"""The admin in a real browser: Debian's Chromium, from the login to the picture of a mapping.

SCREENSHOTS names a folder that gets pictures of the pages, such as `docs/screenshots`.
"""

import os
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from common.tests.browser import NARROW, WIDE, Browser
from devtools.postgres import session

COLUMNS = [
    ("id", "integer"),
    ("first_name", "string"),
    ("last_name", "string"),
    ("address", "string"),
    ("balance", "float"),
    ("born", "date"),
]
RULES = [
    ("direct", "id", "id", ""),
    ("split", "full_name", "first_name, last_name", " "),
    ("join", "street, city", "address", ", "),
    ("direct", "balance", "balance", ""),
]


@pytest.fixture
def source() -> Iterator[object]:
    """The address of a database with two hundred people."""
    url = os.environ["TEST_POSTGRES_URL"]
    with session(url) as cursor:
        cursor.execute("DROP TABLE IF EXISTS people")
        cursor.execute(
            "CREATE TABLE people AS SELECT n AS id, 'Ada ' || n AS full_name, "
            "'Road ' || n AS street, CASE WHEN n % 3 > 0 THEN 'London' END AS city, "
            "n * 1.25 AS balance, date '1990-01-01' + n AS born, n % 2 = 0 AS active "
            "FROM generate_series(1, 200) AS n"
        )
        yield urlsplit(url)
        cursor.execute("DROP TABLE people")


def log_in(browser: Browser) -> None:
    browser.open("")
    browser.fill(username="admin", password="to-log-in")
    browser.page.click("button[type=submit]")
    expect(browser.page.get_by_text("Connections by last test")).to_be_visible()


def connect(browser: Browser, source) -> None:
    browser.open("connections/connection/add/")
    browser.fill(name="shop", host=source.hostname, port=str(source.port))
    browser.fill(database=source.path[1:], username=source.username, password="wrong")
    browser.page.select_option("[name=db_type]", "postgresql")
    browser.page.click("text=Test connection")
    expect(browser.page.locator("#etl-test .etl-bad")).to_have_text("failed")
    browser.fill(password=source.password)
    browser.page.click("text=Test connection")
    expect(browser.page.locator("#etl-test .etl-good")).to_have_text("success")
    browser.save()
    browser.page.click("a:text-is('shop')")
    browser.page.click("text=Test connection")
    expect(browser.page.locator("#etl-test .etl-good")).to_have_text("success")
    browser.picture("connection")


def describe(browser: Browser) -> None:
    browser.open("schemas/schema/add/")
    browser.fill(name="customers")
    names, types = (browser.page.locator(f"[name=columns-{n}]") for n in ("name", "data_type"))
    for index, (name, data_type) in enumerate(COLUMNS):
        if names.count() == index:
            browser.page.click("text=Add a column")
        names.nth(index).fill(name)
        types.nth(index).select_option(data_type)
    browser.page.locator("[data-row=up]").nth(1).click()
    expect(names.first).to_have_value("first_name")
    browser.page.locator("[data-row=down]").first.click()
    browser.save()


def map_columns(browser: Browser) -> None:
    browser.open("mappings/mapping/add/")
    browser.fill(name="shop customers")
    browser.choose("source_connection", "shop")
    browser.choose("target_schema", "customers")
    write_the_query(browser)
    preview = browser.page.locator("#etl-preview")
    expect(preview).to_contain_text("50 rows")
    expect(preview).to_contain_text("there are more")
    expect(preview.locator("thead")).to_contain_text("full_namestring")
    browser.picture("preview")
    connect_by_keyboard(browser, "id", "id")
    for index, (kind, sources, targets, option) in enumerate(RULES[1:], start=1):
        browser.page.click("text=Add another Column mapping")
        row = f"column_mappings-{index}"
        browser.page.select_option(f"[name={row}-type]", kind)
        browser.page.fill(f"[name={row}-source_columns]", sources)
        browser.page.fill(f"[name={row}-target_fields]", targets)
        browser.page.fill(f"[name={row}-option]", option)
    try_dry(browser)
    browser.save()
    browser.page.click("a:text-is('shop customers')")
    see_the_picture(browser)
    browser.picture("mapping")


def write_the_query(browser: Browser) -> None:
    """Complete the name of a table that the source has, and look at its rows, by keyboard."""
    page = browser.page
    people = page.locator("#etl-tree [data-table='public.people']")
    people.locator("button").click()
    expect(people.locator("li")).to_have_count(7)
    page.locator(".ace_text-input").focus()
    page.keyboard.insert_text("SELECT * FROM ")
    page.keyboard.type("peo")
    offered = page.locator(".ace_autocomplete .ace_line").first
    expect(offered).to_contain_text("people")
    # Until it has heard of every letter it would put the name behind the first ones.
    expect(offered.locator(".ace_completion-highlight")).to_have_text(["peo"])
    page.keyboard.press("Enter")
    page.keyboard.insert_text(" ORDER BY id")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[name=source_query]")).to_have_value("SELECT * FROM people ORDER BY id")


def connect_by_keyboard(browser: Browser, column: str, field: str) -> None:
    for side, name in (("source", column), ("target", field)):
        box = browser.page.locator(f"#etl-picture .box[data-side={side}][data-name='{name}']")
        box.press("Enter")
        expect(box).to_have_attribute("aria-pressed", "true")
    browser.page.locator("[data-connect]").press("Enter")
    expect(browser.page.locator("[name=column_mappings-0-source_columns]")).to_have_value(column)


def try_dry(browser: Browser) -> None:
    """Look at target rows; what a rule reads that is not there is told beside that rule."""
    page = browser.page
    page.fill("[name=column_mappings-3-source_columns]", "balanc")
    page.click("#etl-dry-run")
    problem = page.locator("tr", has=page.locator("[name=column_mappings-3-type]"))
    told = problem.locator(".etl-problems")
    expect(told).to_contain_text('the nearest is "balance"')
    page.fill("[name=column_mappings-3-source_columns]", "balance")
    page.click("#etl-dry-run")
    expect(page.locator("#etl-target-rows")).to_contain_text("none refused")
    expect(told).to_be_empty()


def see_the_picture(browser: Browser) -> None:
    picture = browser.page.locator("svg.etl-map")
    expect(picture.locator(".line")).to_have_count(8)
    expect(picture.locator(".unmapped")).to_have_count(1)
    expect(picture.locator(".unmapped")).to_contain_text("born")
    expect(browser.page.locator("[name=column_mappings-2-source_columns]")).to_have_value(
        "street, city"
    )


def schedule(browser: Browser) -> None:
    browser.open("schedules/schedule/add/")
    browser.fill(name="mornings", cron_expression="*/20 6-9 * *", timezone="Europe/Berlin")
    expect(browser.page.locator("#etl-runs")).to_contain_text("refused")
    browser.fill(cron_expression="*/20 6-9 * * *")
    browser.choose("mapping", "shop customers")
    expect(browser.page.locator("#etl-runs tbody tr")).to_have_count(10)
    browser.save()
    next_run = browser.page.locator("#result_list time[data-local]")
    expect(next_run).to_contain_text("GMT+9")
    expect(next_run).to_have_attribute("title", re.compile("CES?T, Europe/Berlin$"))
    browser.page.click("a:text-is('mornings')")
    expect(browser.page.locator("#etl-runs tbody tr")).to_have_count(10)
    browser.picture("schedule")


def act(browser: Browser) -> None:
    browser.open("connections/connection/")
    browser.page.check("input.action-select >> nth=0")
    browser.page.select_option("select[name=action]", "test_selected")
    browser.page.click("button[name=index]")
    expect(browser.page.get_by_text("1 of 1 connection answered.")).to_be_visible()
    browser.picture("connections")


PAGES = [
    "",
    "connections/connection/",
    "connections/connection/add/",
    "schemas/schema/",
    "schemas/schema/add/",
    "mappings/mapping/",
    "mappings/mapping/add/",
    "mappings/columnmapping/",
    "schedules/schedule/",
    "schedules/schedule/add/",
    "runs/run/timeline/",
    "auth/user/",
]


def save_over_a_newer_version(browser: Browser, stored, mapping) -> None:
    """Somebody changes the mapping while it is open."""
    path = f"mappings/mapping/{mapping}/change/"
    browser.open(path)
    browser.fill(description="mine")
    stored.mappings.update_one({"_id": mapping}, {"$set": {"description": "theirs"}})
    browser.page.click("button[name=_save]")
    conflict = browser.page.locator("#etl-conflict")
    expect(conflict.locator("tbody tr")).to_have_count(1)
    expect(conflict).to_contain_text("theirs")
    browser.page.set_viewport_size(NARROW)
    assert not browser.is_wider_than_its_window()
    browser.page.set_viewport_size(WIDE)
    browser.picture("conflict")
    browser.page.click("text=Save what I typed")
    expect(browser.page.get_by_text("was changed successfully")).to_be_visible()
    assert stored.mappings.find_one()["description"] == "mine"


def ask_whether_to_delete(browser: Browser, stored, mapping) -> None:
    browser.open(f"mappings/mapping/{mapping}/delete/")
    expect(browser.page.get_by_text("is in use by the schedule")).to_be_visible()
    stored.schedules.delete_many({})
    browser.open(f"mappings/mapping/{mapping}/delete/")
    expect(browser.page.get_by_text("and with it 4 column mappings")).to_be_visible()
    browser.picture("delete")


def look_through_a_narrow_window(browser: Browser, records: list[str]) -> None:
    browser.page.set_viewport_size(NARROW)
    for path in [*PAGES, *records]:
        browser.open(path)
        assert not browser.is_wider_than_its_window(), path


def test_an_operator_goes_from_the_login_to_the_picture(browser, source, stored):
    log_in(browser)
    connect(browser, source)
    describe(browser)
    map_columns(browser)
    schedule(browser)
    act(browser)
    browser.open("")
    browser.picture("overview")
    mapping = stored.mappings.find_one()["_id"]
    browser.page.emulate_media(color_scheme="dark")
    browser.open(f"mappings/mapping/{mapping}/change/")
    browser.picture("mapping-dark")
    records = [
        f"mappings/mapping/{mapping}/change/",
        f"connections/connection/{stored.connections.find_one()['_id']}/change/",
        f"schemas/schema/{stored.schemas.find_one()['_id']}/change/",
        f"schedules/schedule/{stored.schedules.find_one()['_id']}/change/",
    ]
    look_through_a_narrow_window(browser, records)
    browser.page.set_viewport_size(WIDE)
    browser.page.emulate_media(color_scheme="light")
    save_over_a_newer_version(browser, stored, mapping)
    ask_whether_to_delete(browser, stored, mapping)
    browser.page.set_viewport_size(NARROW)
    browser.open(records[0])
    browser.page.click("#etl-show")
    expect(browser.page.locator("#etl-preview")).to_contain_text("50 rows")
    assert not browser.is_wider_than_its_window()
    browser.page.locator("#etl-picture").scroll_into_view_if_needed()
    browser.picture("narrow", is_whole=False)
    assert browser.troubles == []

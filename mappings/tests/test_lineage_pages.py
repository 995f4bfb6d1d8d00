"""Lineage in the admin: drawn, told in a table, and found from either end."""

from xml.etree import ElementTree

import pytest
from django.urls import reverse

from common.tests.client import direct, join, made
from common.tests.operator import someone
from mappings.flow_picture import Group, Line, Row, draw
from mappings.tests.conftest import connection_to, onto

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def mapping(api, postgres):
    for table in ("lines", "bills"):
        postgres.run(f"DROP TABLE IF EXISTS {table}")
    postgres.run("CREATE TABLE bills (id int, first text, last text)")
    postgres.run("CREATE TABLE lines (bill_id int, price int)")
    record = made(
        api,
        "mappings",
        name="bills",
        source_connection_id=connection_to(api, postgres.reader),
        source_query="SELECT b.*, sum(l.price) AS total FROM bills b "
        "JOIN lines l ON l.bill_id = b.id GROUP BY b.id, b.first, b.last",
        target_schema_id=onto(api, total="float", who="string", free="string"),
    )
    rules = [direct("total", "total"), join("first", "last", target="who")]
    api.create(f"mappings/{record['id']}/column-mappings", rules)
    return record


def links(page):
    """Return where the links of a picture lead, by what they are called."""
    start = page.index('class="etl-flow" aria-label')
    picture = page[page.rindex("<svg", 0, start) : page.index("</svg>", start) + len("</svg>")]
    found = ElementTree.fromstring(picture).iter(f"{SVG}a")
    return {link.get("aria-label"): link.get("href") for link in found}


def test_a_picture_leads_from_tables_to_fields_and_each_end_to_its_page(operator, api, mapping):
    page = operator.html("mappings_mapping_lineage", mapping["id"])
    leads = links(page)
    schema = api.get(f"schemas/{mapping['target_schema_id']}").json()
    assert set(leads) == {
        "public.bills", "first", "last", "public.lines", "price", "who, identity",
        "total, aggregate", "free, unmapped", schema["name"],
    }  # fmt: skip
    assert page.count('class="flow identity" d="M2') == 2
    assert page.count('class="flow aggregate" d="M2') == 1
    for address in leads.values():
        assert operator.client.get(address.replace("&amp;", "&")).status_code == 200


def test_a_column_leads_back_to_all_that_feeds_it(operator, api, mapping):
    address = reverse("admin:mappings_lineage_schema", args=[mapping["target_schema_id"]])
    page = operator.client.get(f"{address}?column=who").content.decode()
    assert set(links(page)) == {"public.bills", "first", "last", "bills", "who, identity"}
    assert 'aria-current="page">who</a>' in page
    schema = operator.html("schemas_schema_change", mapping["target_schema_id"])
    assert address in schema
    other = operator.client.get(f"{address}?column=free").content.decode()
    assert "Nothing flows here" in other


def test_a_column_of_a_source_leads_to_where_it_goes(operator, mapping):
    address = reverse("admin:mappings_lineage_connection", args=[mapping["source_connection_id"]])
    page = operator.client.get(f"{address}?table=public.lines&column=price").content.decode()
    assert set(links(page)) == {"public.lines", "price", "bills", "total, aggregate"}


def test_a_query_that_cannot_be_read_is_said_to_be_unknown(operator, stored, mapping):
    stored.mappings.update_one({}, {"$set": {"source_query": "SELECT ((("}})
    page = operator.html("mappings_mapping_lineage", mapping["id"])
    assert "The query could not be read." in page
    assert "not known" in page


def test_what_is_not_there_is_a_404_and_who_may_not_see_it_gets_403(operator, mapping):
    for page in ("mapping_lineage", "lineage_schema", "lineage_connection"):
        for identifier in ("0" * 24, "nope"):
            assert operator.get(f"mappings_{page}", identifier).status_code == 404
    refused = someone(None).get("mappings_mapping_lineage", mapping["id"])
    assert refused.status_code == 403


def test_names_are_text_and_never_markup():
    name = '"><script>&\x00'
    picture = draw(
        [Group(name, {1: Row(name, name, href=name)})],
        [Group(name, {2: Row(name)}, href=name)],
        [Line(1, 2, name)],
    )
    tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(picture).iter()}
    assert tags == {"svg", "g", "a", "title", "rect", "text", "path"}

"""The picture of a mapping: what stands where, and that names are text."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from mappings.picture import NARROW, Rule, draw, layout, visible

FIELDS = {"id": "integer", "first": "string", "last": "string", "full": "string"}
SVG = "{http://www.w3.org/2000/svg}"


def read(rules, fields=None):
    return ElementTree.fromstring(draw(rules, FIELDS if fields is None else fields))


def texts(picture, css_class):
    return [
        [text.text for text in group.iter(f"{SVG}text")]
        for group in picture.iter(f"{SVG}g")
        if group.get("class") == css_class
    ]


def lines(picture):
    return [path.get("class") for path in picture.iter(f"{SVG}path")]


def test_a_direct_rule_is_one_line():
    picture = read([Rule("direct", ["key"], ["id"])])
    assert lines(picture) == ["line direct"]
    assert texts(picture, "box source") == [["key", None]]
    assert texts(picture, "box target") == [["id", "integer"]]


def test_a_split_goes_through_its_sign():
    picture = read([Rule("split", ["name"], ["first", "last"], " ")])
    assert lines(picture) == ["line split"] * 3
    assert texts(picture, "node split") == [["split ␣"]]


def test_a_join_goes_through_its_sign():
    picture = read([Rule("join", ["a", "b"], ["full"], "")])
    assert lines(picture) == ["line join"] * 3
    assert texts(picture, "node join") == [["join"]]


def test_unmapped_fields_stand_out():
    picture = read([Rule("direct", ["key"], ["id"])])
    unmapped = [name for name, _ in texts(picture, "box unmapped")]
    assert unmapped == ["first", "last", "full"]
    assert picture.get("aria-label") == "direct key to id; unmapped: first, last, full"


def test_a_narrow_picture_has_both_sides_beside_each_other():
    rules = [Rule("join", ["a_column_of_a_long_name", "b"], ["full"], ", ")]
    picture = ElementTree.fromstring(draw(rules, FIELDS, size=NARROW))
    assert picture.get("viewBox").startswith("0 0 400 ")
    assert picture.get("class") == "etl-map etl-narrow"
    ends = [float(box.get("x")) + float(box.get("width")) for box in picture.iter(f"{SVG}rect")]
    assert max(ends) < NARROW.width
    assert texts(picture, "box unmapped")[0] == ["id", "unmapped"]
    assert texts(picture, "box source")[0] == ["a_column_of_a_…", None]


def test_a_field_that_the_schema_lacks_stands_out():
    picture = read([Rule("direct", ["key"], ["gone"])])
    assert texts(picture, "box missing") == [["gone", "not in the schema"]]


def test_a_column_read_twice_stands_there_once():
    place = layout([Rule("direct", ["a"], ["id"]), Rule("direct", ["a"], ["full"])], FIELDS)
    assert list(place.sources) == ["a"]


def test_no_two_boxes_and_no_two_signs_overlap():
    rules = [Rule("split", ["a"], ["first", "last"], ","), Rule("join", ["a", "b"], ["full"], ",")]
    picture = read(rules)
    for x in {rect.get("x") for rect in picture.iter(f"{SVG}rect")}:
        tops = sorted(
            float(rect.get("y")) for rect in picture.iter(f"{SVG}rect") if rect.get("x") == x
        )
        assert all(b - a >= 26 for a, b in pairwise(tops))


def test_an_empty_mapping_is_a_picture_too():
    assert read([], {}).get("aria-label") == "no column mappings"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a" onload="x', "a & b", "\0\x1b￿"])
def test_names_are_text(name):
    rule = Rule("split", [name], [name, "last"], name)
    picture = read([rule, Rule(name, ["x"], ["full"])], {**FIELDS, name: name})
    assert {element.tag for element in picture.iter()} <= {
        SVG + tag for tag in ("svg", "style", "g", "title", "rect", "text", "path")
    }
    assert all(
        "on" not in key for element in picture.iter() for key in element.attrib if key != "d"
    )


def test_long_names_are_cut_and_whole_on_hovering():
    picture = read([Rule("direct", ["c" * 100], ["id"])])
    (group,) = [g for g in picture.iter(f"{SVG}g") if g.get("class") == "box source"]
    assert group.find(f"{SVG}title").text == "c" * 100
    assert len(group.find(f"{SVG}text").text) < 30


def test_white_space_can_be_seen():
    assert visible(" \t\n") == "␣⇥↵"

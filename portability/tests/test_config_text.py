"""The YAML of configuration files: what is written is read back, what is doubtful is refused."""

import io
import random

import pytest
import yaml
from ruamel.yaml import YAML

from portability import text
from portability.text import OneLine, OneLineMapping, Problems


def written(value):
    out = io.StringIO()
    text.write(value, out)
    return out.getvalue()


def refusal(content):
    with pytest.raises(Problems) as found:
        text.read(content)
    return [str(problem) for problem in found.value.problems]


def test_a_query_is_written_as_it_looks():
    assert written({"source_query": "SELECT id\n  FROM customers\n WHERE id > 1"}) == (
        "source_query: |-\n  SELECT id\n    FROM customers\n   WHERE id > 1\n"
    )


def test_short_lists_and_columns_take_one_line():
    assert written(
        {"a": OneLine(["x", "y z"]), "b": [OneLineMapping(name="id", data_type="integer")]}
    ) == ("a: [x, y z]\nb:\n- {name: id, data_type: integer}\n")


def test_a_long_line_is_not_folded():
    assert written({"a": "word " * 60 + "end"}).count("\n") == 1


@pytest.mark.parametrize(
    "value",
    ["null", "~", "", "true", "12", "012", "1e3", "yes", "2026-01-01", "12:30", "=", "<<", "- a",
     "a: b", "a #b", "#", "'", '"', " ", "\t", "\n", "a\n\n", "  a\nb", "a \nb", "a\r\nb", "\x00",
     "\x85", "\u2028", "\ufeff", "é", "🙂", "---", "...", "|", "&a", "*a", "!a", "%a", "@a", "`a"],
)  # fmt: skip
def test_text_stays_that_text(value):
    assert text.read(written({"key": value, value or "x": "value"})).plain() == {
        "key": value,
        value or "x": "value",
    }


def test_any_text_stays_that_text():
    letters = " \t\n\r:#-?|>'\"\\{}[],&*!%@`~019abnyNoe.+_é\u2028\x85\x7f\x00\ufeff\xa0🙂<="
    source = random.Random(1)  # noqa: S311
    for _ in range(2000):
        value = "".join(source.choices(letters, k=source.randint(0, 12)))
        tree = {"a": value, "b": OneLine([value]), "c": [OneLineMapping(d=value)]}
        assert text.read(written(tree)).plain() == tree


NUMBERS_AND_THE_LIKE = [
    "12e5", "12E+5", "1.5e3", "1.e-3", "0o17", "0O17", "017", "0x1F", "0b101", "1_000", "12:30:45",
    "-1", "+1", ".5", "5.", "-.inf", ".NaN", ".Inf", "190:20:30.15", "2026-01-01", "2026-1-1",
    "2026-01-01T00:00:00Z", "2026-01-01 00:00:00 +1", "y", "N", "YES", "Off", "oN", "TRUE", "False",
    "Null", "NULL", "~", "", "=", "<<", "1,000", "0", "-0", "00", "0.0", "_1", "1_", "-", "+", ".",
    "..", "e5", "0x", "0o", "1e", "10.0.0.1", "::1", "12:30 Uhr", "v1", "0 2 * * *", "nully",
]  # fmt: skip


def yaml_1_2(content):
    return YAML(typ="safe", pure=True).load(content)


def yaml_1_1(content):
    return YAML(typ="safe", pure=True).load("%YAML 1.1\n---\n" + content)


@pytest.mark.parametrize("load", [yaml.safe_load, yaml_1_1, yaml_1_2])
def test_text_is_text_to_readers_of_yaml_1_1_and_1_2(load):
    tree = {
        "values": NUMBERS_AND_THE_LIKE,
        "one line": OneLine(NUMBERS_AND_THE_LIKE),
        "keys": dict.fromkeys(NUMBERS_AND_THE_LIKE, "x"),
        "port": 5432,
        "enabled": True,
    }

    assert load(written(tree)) == tree


@pytest.mark.parametrize("load", [yaml.safe_load, yaml_1_1, yaml_1_2])
def test_any_text_is_that_text_to_other_readers(load):
    letters = "0123456789.eExXoObB+-_:,~ nytfNYTFul\u202e\x1b\n\"'\U000e0001#"
    source = random.Random(2)  # noqa: S311
    for _ in range(40):
        tree = ["".join(source.choices(letters, k=source.randint(0, 8))) for _ in range(50)]
        assert load(written(tree)) == tree


def test_what_cannot_be_seen_is_spelled():
    said = written({"a": "\x1b[2J\u202e\u2028\x85\U000e0001é", "b": "x\ny\u200d"})

    assert said == 'a: "\\e[2J\\U0000202E\\L\\N\\U000E0001é"\nb: |-\n  x\n  y\u200d\n'


@pytest.mark.parametrize("value", [True, False, None, 0, -5, 5432])
def test_other_values_stay_what_they_are(value):
    assert text.read(written({"key": value})).plain() == {"key": value}


@pytest.mark.parametrize("plain", ["yes", "on", "1.5", "2026-01-01", "12:30", "0x1F", "1_000"])
def test_what_only_some_yaml_reads_as_something_else_is_text(plain):
    assert text.read(f"key: {plain}").plain() == {"key": plain}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: 1\na: 2", '2:1: "a" stands here twice; first in line 1.'),
        ("a: &x 1", "1:4: Anchors and aliases are not accepted; write the value out."),
        ("a: !!python/name:os.system", "1:4: Tags such as tag:yaml.org,2002:python/name:os.system "
         "are not accepted; write a plain value."),
        ("a: 1\n---\nb: 2", "2:1: Expected one document; here starts another."),
        ("? [a]\n: b", "1:3: Expected a name here."),
        ("[" * 13 + "]" * 13, "1:13: This is nested too deeply."),
        ("a: [", "2:1: This is not YAML: did not find expected node content."),
    ],
)  # fmt: skip
def test_it_refuses_what_is_doubtful(content, problem):
    assert refusal(content) == [problem]


def test_aliases_that_would_swell_are_refused_unexpanded():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}]\n"
        for old, new in zip("abcdefghijklmnopqrst", "bcdefghijklmnopqrstu", strict=True)
    )
    assert len(refusal(bomb)) == 1 + 3 * 20


def test_a_huge_file_is_refused_unread(monkeypatch):
    monkeypatch.setattr(text, "MAX_BYTES", 10)
    assert refusal("a: 1234567890") == ["1:1: The file is larger than 10 bytes."]


def test_a_place_is_that_of_the_value_or_of_what_is_nearest():
    tree = text.read("columns:\n- {name: a}\n- {name: b, data_type: x}\n")
    assert tree.place_of("columns.1.data_type") == (3, 13)
    assert tree.place_of("columns.0.data_type") == (2, 3)
    assert tree.place_of("nothing") == (1, 1)

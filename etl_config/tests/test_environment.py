"""How settings are read from the environment."""

from pathlib import Path

import pytest

from etl_config.environment import Environment


@pytest.fixture
def env():
    return Environment(Path("/nowhere/.env"))


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('["http://a", "http://b"]', ["http://a", "http://b"]),
        ("http://a, http://b,", ["http://a", "http://b"]),
        ("[::1],localhost", ["[::1]", "localhost"]),
        ("[::1]", ["[::1]"]),
        ("", []),
        ("[]", []),
        (" a ", ["a"]),
    ],
)
def test_a_list_is_json_or_comma_separated(env, monkeypatch, text, items):
    monkeypatch.setenv("LIST", text)
    assert env.listed("LIST") == items
    assert env.problems == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("On", True), ("1", True), ("false", False), ("no", False), ("", True)],
)
def test_a_switch_has_many_words(env, monkeypatch, text, value):
    monkeypatch.setenv("SWITCH", text)
    assert env.flag("SWITCH", True) is value


def test_what_is_not_set_or_empty_has_its_default(env, monkeypatch):
    monkeypatch.setenv("EMPTY", "")
    assert env.number("EMPTY", 5.0) == env.number("ABSENT", 5.0) == 5.0
    assert env.whole("EMPTY", 5) == env.whole("ABSENT", 5) == 5
    assert env.choice("EMPTY", ["A", "B"], "B") == "B"
    assert env.problems == []


@pytest.mark.parametrize(
    ("read", "text", "problem"),
    [
        (lambda env: env.flag("X", False), "ture", "X makes no sense: expected true or false."),
        (lambda env: env.number("X", 1.0), "1,5", "X makes no sense: expected a number."),
        (lambda env: env.number("X", 1.0), "nan", "X makes no sense: expected a number."),
        (lambda env: env.whole("X", 1), "1.5", "X makes no sense: expected a whole number."),
        (lambda env: env.choice("X", "AB", "A"), "c", "X makes no sense: expected one of A, B."),
        (lambda env: env.networks("X"), "10.0.0.0/8,proxy", "X makes no sense: expected addresses "
         "and networks such as 127.0.0.1,10.0.0.0/8."),
        (lambda env: env.listed("X"), '["a"', "X makes no sense: expected a JSON list such as "
         '["a","b"], or a comma-separated one.'),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_noted(env, monkeypatch, read, text, problem):
    monkeypatch.setenv("X", text)
    read(env)
    assert env.problems == [problem]


def test_networks_are_addresses_and_ranges(env, monkeypatch):
    monkeypatch.setenv("X", "127.0.0.1, ::1,10.1.2.3/8")
    assert [str(each) for each in env.networks("X")] == ["127.0.0.1/32", "::1/128", "10.0.0.0/8"]

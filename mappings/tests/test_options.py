"""Delimiters as a person types them."""

import pytest

from mappings import options


@pytest.mark.parametrize(
    ("text", "read"),
    [("", ""), (" ", " "), ("␣", " "), (",␣", ", "), ("\\t", "\t"), ("\\n", "\n"), ("\\x", "\\x")],
)
def test_it_reads_what_is_typed(text, read):
    assert options.from_text(text) == read


@pytest.mark.parametrize(
    "option", ["", " ", ", ", "\t", "\r\n", "\\", "\\t", "␣", "\\␣", "|", "a b"]
)
def test_what_it_writes_it_reads_again(option):
    assert options.from_text(options.to_text(option)) == option

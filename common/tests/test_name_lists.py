"""Lists of names as a person types them."""

import pytest

from common.admin import name_lists as names


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", []),
        ("id", ["id"]),
        ("first, last", ["first", "last"]),
        ("first\r\nlast\n", ["first", "last"]),
        (" a ,, b ,", ["a", "b"]),
        ('"last, first", id', ["last, first", "id"]),
        ('"say ""hi""" , id', ['say "hi"', "id"]),
        ('size 5" , id', ['size 5"', "id"]),
        ('"open, id', ['"open', "id"]),
        ('"a" b, c', ['"a" b', "c"]),
        ('" padded "', [" padded "]),
    ],
)
def test_it_reads_what_is_typed(text, read):
    assert names.from_text(text) == read


@pytest.mark.parametrize(
    "written",
    [
        ["id"],
        ["first name", "last name"],
        ["last, first"],
        ["a\nb", "a\r\nb", "\r"],
        [" padded ", "\ttab"],
        ['"quoted"', 'in"side', '"'],
        ["", "x"],
        ["ünï", "日本", "🙂"],
    ],
)
def test_what_it_writes_it_reads_again(written):
    assert [name.replace("\r\n", "\n").replace("\r", "\n") for name in written] == names.from_text(
        names.to_text(written)
    )

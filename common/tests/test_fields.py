"""What is plainly right is taken at once, and what is not is refused as ever."""

import pytest
from django.core.validators import MinLengthValidator, RegexValidator
from rest_framework import serializers

from common.api.fields import TextField, TextListField


def no_word(text):
    raise serializers.ValidationError("No word.")


class AsksTheField:
    requires_context = True

    def __call__(self, value, field):
        if field.max_length is None:
            raise serializers.ValidationError("No end.")


FIELDS = {
    "short": ({"max_length": 5}, "abcdef"),
    "long": ({"min_length": 3}, "ab"),
    "exact": ({"max_length": 5, "validators": [MinLengthValidator(5)]}, "abc"),
    "pattern": ({"validators": [RegexValidator("^a")]}, "b"),
    "function": ({"validators": [no_word]}, "a"),
    "asks": ({"validators": [AsksTheField()]}, "a"),
    "blank": ({}, "  "),
    "nul": ({}, "a\0"),
    "surrogate": ({}, "a\ud800"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_text_is_refused_as_a_char_field_refuses_it(name):
    options, text = FIELDS[name]
    refusals = []
    for field in (TextField(**options), serializers.CharField(**options)):
        with pytest.raises(serializers.ValidationError) as refused:
            field.run_validation(text)
        refusals.append(refused.value.detail)
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize(
    ("text", "taken"), [(" a ", "a"), ("\u00e4\u2028b", "\u00e4\u2028b"), ("a\nb", "a\nb")]
)
def test_a_text_is_taken_as_a_char_field_takes_it(text, taken):
    assert TextField(max_length=5).run_validation(text) == taken


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "This list may not be empty."),
        (["a"], "Ensure this field has at least 2 elements."),
        (["a"] * 4, "Ensure this field has no more than 3 elements."),
    ],
)
def test_a_list_of_texts_has_its_lengths(items, message):
    field = TextListField(
        child=TextField(max_length=5), allow_empty=False, min_length=2, max_length=3
    )
    with pytest.raises(serializers.ValidationError) as refused:
        field.run_validation(items)
    assert refused.value.detail == [message]

"""Delimiters and separators as a person types them: a space seen as ␣, a tab written \\t."""

import re

_SIGNS = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "␣": "\\␣", " ": "␣"}
_ESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r", "␣": "␣"}


def to_text(option: str) -> str:
    """Return the text that `from_text` reads as exactly this option."""
    return "".join(_SIGNS.get(character, character) for character in option)


def from_text(text: str) -> str:
    """Return the option that a text stands for; a plain space counts too."""
    return re.sub(
        r"\\(.)|␣",
        lambda found: " " if found[1] is None else _ESCAPES.get(found[1], found[0]),
        text,
        flags=re.DOTALL,
    )

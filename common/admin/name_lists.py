"""Lists of names as a person types them: commas or lines between them, quotes around odd ones."""

import re
from collections.abc import Iterable

# A quoted name ("" stands for a quote), or whatever stands between two separators.
_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*(?=[,\n]|\Z)|([^,\n]*))(?:[,\n]|\Z)')


def to_text(names: Iterable[str]) -> str:
    """Return the text that `from_text` reads as exactly these names."""
    return ", ".join(_quoted(name) if _is_odd(name) else name for name in names)


def from_text(text: str) -> list[str]:
    """Return the names in a text: trimmed, empty ones left out, those in quotes as they are."""
    names = []
    position = 0
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    while position < len(text):
        found = _ITEM.match(text, position)
        assert found is not None  # noqa: S101 - the pattern's second half matches anything
        quoted, bare = found.groups()
        if quoted is not None:
            names.append(quoted.replace('""', '"'))
        elif bare.strip():
            names.append(bare.strip())
        position = found.end()
    return names


def _is_odd(name: str) -> bool:
    return name != name.strip() or not name or name[0] == '"' or bool(re.search(r"[,\r\n]", name))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

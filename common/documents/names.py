"""What a name may be: of records, of columns and of target fields, in one rule for all.

Names are trimmed and in Unicode's composed form (NFC), so that two that look alike are one. What
cannot be seen, or moves what stands beside it, is in none, but for the joiners that some scripts
need within words.
"""

import unicodedata

MAX_LENGTH = 100
JOINERS = "\u200c\u200d"
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of controls, formats, halves of pairs, and ends of lines."""


def normalized(name: str) -> str:
    """Return a name trimmed and composed."""
    return unicodedata.normalize("NFC", name.strip())


def problem(name: str) -> str | None:
    """Return the sentence that refuses a name, None where it is one."""
    if odd := [character for character in name if _is_odd(character)]:
        return (
            f"A name has only characters that can be seen: take out U+{ord(odd[0]):04X} "
            f"at position {name.index(odd[0]) + 1}."
        )
    if not any(_is_visible(character) for character in name):
        return "This field may not be blank."
    if len(name) > MAX_LENGTH:
        return f"Ensure this field has no more than {MAX_LENGTH} characters."
    return None


def _is_odd(character: str) -> bool:
    return unicodedata.category(character) in UNSEEN and character not in JOINERS


def _is_visible(character: str) -> bool:
    # Letters that are drawn as nothing count as nothing.
    return character not in JOINERS + "\u115f\u1160\u2800\u3164\uffa0" and not character.isspace()


def printable(text: str) -> str:
    """Return a text for a terminal: what could move the cursor, or hide, is spelled out."""
    return "".join(c if not _is_odd(c) else f"\\u{ord(c):04x}" for c in text)

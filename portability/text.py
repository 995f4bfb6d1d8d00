"""The YAML of configuration files: plain values only, each with its place in the file.

Of YAML 1.2's core: text, whole numbers, true, false and null. Anchors, aliases, tags and repeated
keys are refused, so that a file is what it looks like, and never larger than it is. What is written
means the same to readers of YAML 1.1 and 1.2: a text that either would take for something else is
quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO, TypeAlias

import yaml

from common.documents import names

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 12
NULLS = {"", "~", "null", "Null", "NULL"}
BOOLEANS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z", re.ASCII)

NOT_TEXT = re.compile(
    r"""(?xi)
    [-+]? (\. [0-9_]+ | [0-9_] [0-9_,]* (\. [0-9_]*)?) (e [-+]? [0-9_]+)? # 12, 1_000, 12e5, .5
    | [-+]? 0 (x [0-9a-f_]+ | o [0-7_]+ | b [01_]+)
    | [-+]? [0-9] [0-9_]* (: [0-9]+)+ (\. [0-9_]*)?                        # 12:30, to the base 60
    | [-+]? \. (inf | nan)
    | [0-9]{4} - [0-9]{1,2} - [0-9]{1,2} ([t\ ] .*)?
    | null | true | false | yes | no | on | off | y | n | [~=] | <<
    """
)
"""What one reader of YAML or another takes for a number, a moment, a boolean, null, or a merge."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

Place: TypeAlias = tuple[int, int]
"""Line and column, counted from 1."""


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where; `path` names it in the file's own terms."""

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        line, column = self.place
        return (
            f"{line}:{column}: {self.path}: {self.message}"
            if self.path
            else (f"{line}:{column}: {self.message}")
        )


class Problems(Exception):
    """Everything that is wrong with a file, in its order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = sorted(problems, key=lambda problem: problem.place)


@dataclass(frozen=True)
class Node:
    """A value and its place; `keys` holds the places of a mapping's keys."""

    value: Any
    place: Place
    keys: Mapping[str, Place] = field(default_factory=dict)

    def plain(self) -> Any:
        """Return the value without its places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def place_of(self, path: str) -> Place:
        """Return the place of what `path` names, such as `columns.2.name`, or of its parent."""
        node, place = self, self.place
        for part in path.split("."):
            found = node._child(part)
            if found is None:
                break
            node, place = found, node.keys.get(part, found.place)
        return place

    def _child(self, part: str) -> Node | None:
        if isinstance(self.value, dict):
            return self.value.get(part)
        if isinstance(self.value, list) and part.isdigit() and int(part) < len(self.value):
            return self.value[int(part)]
        return None


# --- Reading --------------------------------------------------------------------------------------


def read(text: str) -> Node:
    """Return the tree of a file. Raises Problems."""
    if len(text.encode()) > MAX_BYTES:
        raise Problems([Problem((1, 1), "", f"The file is larger than {MAX_BYTES:,} bytes.")])
    reader = _Reader()
    try:
        node = reader.document(yaml.parse(text, Loader=_Loader))
    except yaml.YAMLError as wrong:
        raise Problems([*reader.problems, _syntax_problem(wrong)]) from None
    if reader.problems:
        raise Problems(reader.problems)
    return node


def _syntax_problem(wrong: yaml.YAMLError) -> Problem:
    mark = getattr(wrong, "problem_mark", None)
    said = getattr(wrong, "problem", None) or getattr(wrong, "reason", None) or "unreadable"
    return Problem(_place(mark) if mark else (1, 1), "", f"This is not YAML: {said}.")


def _place(mark: yaml.Mark) -> Place:
    return mark.line + 1, mark.column + 1


class _Reader:
    """Builds the tree of a stream of events, and notes what has no place in it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, event: Any, message: str) -> None:
        self.problems.append(Problem(_place(event.start_mark), "", message))

    def document(self, events: Iterator[Any]) -> Node:
        documents = []
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents.append(self._node(next(events), events, 1))
                if len(documents) > 1:
                    self.note(event, "Expected one document; here starts another.")
        return documents[0] if documents else Node(None, (1, 1))

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        self._refuse_specials(event)
        place = _place(event.start_mark)
        if depth > MAX_DEPTH:
            raise Problems([*self.problems, Problem(place, "", "This is nested too deeply.")])
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place, events, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(list(self._items(events, depth)), place)
        return Node(_scalar(event), place)

    def _refuse_specials(self, event: Any) -> None:
        if event.anchor is not None:
            self.note(event, "Anchors and aliases are not accepted; write the value out.")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            self.note(event, f"Tags such as {tag} are not accepted; write a plain value.")

    def _items(self, events: Iterator[Any], depth: int) -> Iterator[Node]:
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            yield self._node(event, events, depth + 1)

    def _mapping(self, place: Place, events: Iterator[Any], depth: int) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, events, depth)
            node = self._node(next(events), events, depth + 1)
            if key in keys:
                self.note(event, f'"{key}" stands here twice; first in line {keys[key][0]}.')
            elif key is not None:
                values[key], keys[key] = node, _place(event.start_mark)
        return Node(values, place, keys)

    def _key(self, event: Any, events: Iterator[Any], depth: int) -> str | None:
        """Return a key as the text that it is in the file: a name such as `2026` is a name."""
        self._node(event, events, depth + 1)
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value)
        self.note(event, "Expected a name here.")
        return None


def _scalar(event: Any) -> Any:
    text = getattr(event, "value", None)
    if text is None or event.style or event.tag == "!":
        return text
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    return int(text) if WHOLE.match(text) else text


# --- Writing --------------------------------------------------------------------------------------


class OneLine(list[Any]):
    """A list that is written on one line."""


class OneLineMapping(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(_BaseDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    if any(_is_unseen(character) for character in text):
        return '"'
    if "\n" in text:
        return "|"
    return "'" if NOT_TEXT.fullmatch(text) else None


def _is_unseen(character: str) -> bool:
    return character != "\n" and names.printable(character) != character


def _spelled(character: str) -> str:
    """Return what cannot be seen as YAML spells it between double quotes, where all of it is."""
    return f"\\U{ord(character):08X}" if _is_unseen(character) else character


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(
    OneLine,
    lambda dumper, items: dumper.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=True
    ),
)
_Dumper.add_representer(
    OneLineMapping,
    lambda dumper, items: dumper.represent_mapping(
        "tag:yaml.org,2002:map", items.items(), flow_style=True
    ),
)
# Subclasses of numbers, such as the driver's 64-bit one.
_Dumper.add_multi_representer(int, lambda dumper, value: dumper.represent_int(int(value)))
# What other programs may have stored, where text belongs.
_Dumper.add_multi_representer(object, lambda dumper, value: _represent_text(dumper, str(value)))


def write(value: Any, out: TextIO) -> None:
    """Write a value as YAML: block style, keys in their order, long lines left whole.

    Nothing in it moves a terminal's cursor, or hides.
    """
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=1 << 30,
    )
    out.write(text if text.replace("\n", "").isprintable() else "".join(map(_spelled, text)))

"""The rules of column mappings: which columns go into which fields, and how.

Plain values in, plain values out: a rule's parts as lists and a dict, an error as the path of the
wrong part and a sentence.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from common.documents import names
from engine.columns import nearest

Config = Mapping[str, str | None]
Problem = tuple[str, str]

_OPTION = {"split": "delimiter", "join": "separator"}


def shape_problems(
    kind: str, source_columns: Sequence[str], target_fields: Sequence[str], config: Config
) -> Iterator[Problem]:
    """Yield what does not fit the kind of a rule: too many or few columns, a wrong config."""
    sources, targets = len(source_columns), len(target_fields)
    if kind == "join" and sources < 2:
        yield "source_columns", "A join rule reads two or more source columns."
    if kind != "join" and sources != 1:
        yield "source_columns", f"A {kind} rule reads exactly one source column."
    if kind == "split" and targets < 2:
        yield "target_fields", "A split rule writes two or more target fields."
    if kind != "split" and targets != 1:
        yield "target_fields", f"A {kind} rule writes exactly one target field."
    yield from _config_problems(kind, config)


def _config_problems(kind: str, config: Config) -> Iterator[Problem]:
    used = _OPTION.get(kind)
    for option in ("delimiter", "separator"):
        value = config.get(option)
        if option != used and value is not None:
            yield f"config.{option}", f"A {kind} rule has no {option}."
        if option == used and value is None:
            yield f"config.{option}", f"A {kind} rule needs a {option}."
    if kind != "split" and config.get("overflow") is not None:
        yield "config.overflow", f"A {kind} rule has no overflow."
    if kind == "split" and config.get("delimiter") == "":
        yield "config.delimiter", "The delimiter has at least one character."


def no_such_field(name: str, fields: Iterable[str]) -> str:
    """Return what is said of a field that the target's schema lacks."""
    near = nearest(name, sorted(fields))
    hint = f'; the nearest is "{near}"' if near else ""
    return f'The schema has no column "{name}"{hint}.'


@dataclass
class Targets:
    """What a rule may write: the schema's `columns`, less what is `written` already.

    `written` maps a field to the words that name the rule which writes it.
    """

    columns: set[str]
    written: dict[str, str]

    def named(self, field: str) -> str:
        """Return a target field as the schema has it, which may be a name of older rules."""
        return field if field in self.columns else names.normalized(field)

    def problems(self, target_fields: Sequence[str]) -> Iterator[Problem]:
        """Yield target fields that the schema lacks, or that are written twice."""
        seen: set[str] = set()
        for index, field in enumerate(target_fields):
            path = f"target_fields.{index}"
            if field not in self.columns:
                yield path, f'The target schema has no column "{field}".'
            elif field in self.written:
                yield path, f'"{field}" is already written by {self.written[field]}.'
            elif field in seen:
                yield path, f'"{field}" is written twice.'
            seen.add(field)

    def take(self, target_fields: Iterable[str], rule: str) -> None:
        """Note that `rule` writes these fields."""
        self.written |= dict.fromkeys(target_fields, rule)

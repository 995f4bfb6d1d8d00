"""Copy a mapping with its rules, under a name that is free."""

from itertools import count, islice

from common.documents import writes
from common.exceptions import DuplicateName
from mappings import rules
from mappings.models import ColumnMapping, Mapping

NAME_MAX = 100
ATTEMPTS = 100


def copy_mapping(mapping: Mapping) -> Mapping:
    """Return a stored copy of a mapping: its query, its schema and its rules, in their order.

    In one transaction; without, a crash in the middle leaves a copy without rules.

    Raises DuplicateName where a hundred copies have taken the names.
    """
    for suffix in _suffixes():
        name = mapping.name[: NAME_MAX - len(suffix)] + suffix
        try:
            return writes.transaction(lambda name=name: _copied(mapping, name))  # type: ignore[misc]
        except DuplicateName:
            continue
    raise DuplicateName("mapping", name)


def _suffixes() -> list[str]:
    return [" (copy)", *(f" (copy {number})" for number in islice(count(2), ATTEMPTS - 1))]


def _copied(mapping: Mapping, name: str) -> Mapping:
    copied = Mapping(
        name=name,
        description=mapping.description,
        source_connection_id=mapping.source_connection_id,
        source_query=mapping.source_query,
        target_schema_id=mapping.target_schema_id,
        verification=mapping.verification,
        described=mapping.described,
    )
    copied.save()
    rules.add(copied.pk, [_copy_of(rule, copied) for rule in rules.in_order(mapping.pk)])
    return copied


def _copy_of(rule: ColumnMapping, mapping: Mapping) -> ColumnMapping:
    return ColumnMapping(
        mapping=mapping,
        type=rule.type,
        source_columns=rule.source_columns,
        target_fields=rule.target_fields,
        config=rule.config,
    )

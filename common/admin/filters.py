"""What a list of the admin is searched and filtered by, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin
from django.db import models

from common.api.parameters import MAX_SEARCH


def search_text(typed: str) -> str:
    return typed.strip()[:MAX_SEARCH].replace("\0", "")


def containing(
    queryset: models.QuerySet[Any], text: str, fields: Iterable[str]
) -> models.QuerySet[Any]:
    """Return the records that hold a text in one of some fields, as it is."""
    return queryset.filter(reduce(or_, [models.Q((f"{name}__icontains", text)) for name in fields]))


def beginning_with(queryset: models.QuerySet[Any], text: str) -> models.QuerySet[Any]:
    """Return the records whose name begins with a text: an index finds them."""
    return queryset.filter(name__gte=text, name__lt=text + "\uffff")


def filter_parameters(model: type[models.Model], list_filter: Iterable[Any]) -> set[str]:
    """Return the parameters of an address that a list's own filters read."""
    return {name for one in list_filter for name in _parameters_of(model, one)}


def _parameters_of(model: type[models.Model], list_filter: Any) -> list[str]:
    if isinstance(list_filter, type) and issubclass(list_filter, admin.SimpleListFilter):
        return [str(list_filter.parameter_name)]
    name = list_filter[0] if isinstance(list_filter, tuple) else list_filter
    value = f"{name}__id__exact" if model._meta.get_field(name).is_relation else f"{name}__exact"
    return [value, f"{name}__isnull"]

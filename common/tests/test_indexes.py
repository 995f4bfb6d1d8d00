"""Every query the API makes at scale is found in an index: the store itself is asked."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from pymongo.database import Database

from access.models import Token
from common.documents import store
from common.tests.client import NOBODY
from connections.views import ConnectionViewSet
from mappings.models import ColumnMapping
from mappings.views import ColumnMappingViewSet, MappingViewSet
from notifications.models import Delivery
from notifications.views import NotificationViewSet
from runs.models import Run
from schedules.views import ScheduleViewSet
from schemas.views import SchemaViewSet

VIEWS = [ConnectionViewSet, SchemaViewSet, MappingViewSet, ScheduleViewSet, NotificationViewSet]
MODELS = [*(view.serializer_class.Meta.model for view in VIEWS), ColumnMapping]
VALUES = {
    "db_type": "mysql",
    "port": "3306",
    "last_test_status": "failed",
    "enabled": "true",
    "type": "join",
    "kind": "webhook",
    "write_mode": "upsert",
    **dict.fromkeys(
        ["mapping_id", "source_connection_id", "target_schema_id", "target_id"], str(NOBODY)
    ),
}


@pytest.fixture(autouse=True)
def fresh_indexes(stored: Database):
    """Make the indexes anew: one that ever held an array is walked for no order again."""
    with connection.schema_editor() as editor:
        for model in MODELS:
            if stored[model._meta.db_table].index_information():
                stored[model._meta.db_table].drop_indexes()
            editor._create_model_indexes(model)


def filters() -> list[tuple[type, str]]:
    """Return the default list of each view, and each of its filters, as query strings."""
    return [(view, "") for view in VIEWS] + [
        (view, f"{name}={VALUES.get(name, 'x')}")
        for view in VIEWS
        for name in view.parameters.filters
    ]


def stages(plan: Any) -> set[str]:
    """Return the names of all stages of an explained plan."""
    if isinstance(plan, list):
        return set().union(*map(stages, plan)) if plan else set()
    if not isinstance(plan, dict):
        return set()
    own = {plan["stage"]} if "stage" in plan else set()
    return own | set().union(*map(stages, plan.values()))


def explained(view: type, query: str, base: dict | None = None) -> set[str]:
    listing = view.parameters.parse(QueryDict(query), base or {})
    cursor = store.find(
        view.serializer_class.Meta.model, listing.page_condition, sort=listing.order, limit=50
    )
    return stages(cursor.explain()["queryPlanner"]["winningPlan"])


@pytest.mark.parametrize(("view", "query"), filters())
def test_a_page_is_found_in_an_index(stored: Database, view: type, query: str):
    found = explained(view, f"{query}&limit=50")

    assert "IXSCAN" in found
    assert "COLLSCAN" not in found


@pytest.mark.parametrize(
    ("model", "condition"),
    [
        (Run, {"slot_key": {"$in": ["a", "b"]}}),
        (Delivery, {"group_key": "a", "at": {"$gt": datetime(2026, 1, 31, tzinfo=UTC)}}),
        (Token, {"hash": "a"}),
    ],
)
def test_what_is_known_by_a_key_is_found_in_an_index(stored: Database, model: type, condition):
    found = stages(store.find(model, condition).explain()["queryPlanner"]["winningPlan"])

    assert "IXSCAN" in found
    assert "COLLSCAN" not in found


@pytest.mark.parametrize("ordering", ["-updated_at", "updated_at", "name", "-name"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_page_in_order_needs_no_sorting(stored: Database, view: type, ordering: str):
    assert not explained(view, f"ordering={ordering}&limit=50") & {"COLLSCAN", "SORT"}


def test_the_rules_of_a_mapping_are_found_in_an_index(stored: Database):
    assert "COLLSCAN" not in explained(ColumnMappingViewSet, "", {"mapping_id": NOBODY})


@pytest.mark.parametrize("view", VIEWS)
def test_the_users_of_a_record_are_found_in_an_index(stored: Database, view: type):
    model = view.serializer_class.Meta.model
    for relation in model._meta.related_objects:
        cursor = store.collection(relation.related_model).find({relation.field.column: NOBODY})
        assert "COLLSCAN" not in stages(cursor.explain()["queryPlanner"]["winningPlan"])

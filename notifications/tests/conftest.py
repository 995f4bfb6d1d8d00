"""What the tests of notifications share: a receiver, and runs that end."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.messages import RunReport
from mappings.models import Mapping
from notifications.tests.receivers import Receiver, web_receiver
from runs import claims, outcomes, queueing
from runs.tests.pipelines import pipeline

ERROR = {"code": "query_refused", "stage": "extract", "message": "No.", "hint": "Correct it."}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with web_receiver() as found:
        yield found


@pytest.fixture
def notify(api, receiver) -> Callable[..., dict[str, Any]]:
    """Return what makes a notification that leads to the receiver."""

    def make(**changes: Any) -> dict[str, Any]:
        body = {"name": "ops", "kind": "webhook", "url": receiver.url, "events": ["failed"]}
        return api.create("notifications", body | changes)

    return make


@pytest.fixture
def mapping(api) -> Mapping:
    return mapping_of(api)


def mapping_of(api, **changes: Any) -> Mapping:
    made = pipeline(api, **changes)
    return Mapping.from_document(Mapping.objects.get(pk=made["id"]).document)


def end(mapping: Mapping, how: str = "failed", rejected: int = 0) -> Any:
    """Have a run of the mapping claimed and ended as a worker does it; return its id."""
    run = queueing.queue(mapping, trigger="manual")
    claim = claims.Queue("test:1", lambda one: one["_id"] == run["_id"]).claim()
    report = RunReport(rows_read=5, rows_written=5 - rejected, rows_rejected=rejected)
    if how == "failed":
        assert outcomes.failed(claim, ERROR, report)
    elif how == "succeeded":
        assert outcomes.succeeded(claim, report, {"kind": "delta", "table": "t"})
    elif how == "tried again":
        assert outcomes.tried_again(claim, ERROR, report, is_uncertain=False)
    return run["_id"]

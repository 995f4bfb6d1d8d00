"""The bell of workers: it rings for runs that are queued, where the store can tell of them."""

import threading
from contextlib import contextmanager

import pytest
from pymongo import MongoClient

from common.documents import store
from devtools.mongodb import mongodb
from devtools.processes import free_port
from mappings.models import Mapping
from runs import queueing
from runs.bell import Bell
from runs.tests.pipelines import pipeline
from runs.tests.workers import until


@pytest.fixture
def mapping(api) -> Mapping:
    made = pipeline(api)
    return Mapping.from_document(Mapping.objects.get(pk=made["id"]).document)


@contextmanager
def hung():
    rung = threading.Event()
    bell = Bell(rung.set)
    bell.hang()
    try:
        yield bell, rung
    finally:
        bell.take_down()
        bell.thread.join(10)
    assert not bell.thread.is_alive()


def test_it_rings_for_each_run_that_is_queued_and_for_nothing_else(mapping, stored):
    with hung() as (bell, rung):
        until(lambda: bell.hangs, "the bell does not hang")
        assert rung.wait(5)  # for what was queued before
        for _ in range(2):
            rung.clear()
            run = queueing.queue(mapping, trigger="manual")
            assert rung.wait(5)
        rung.clear()
        stored["runs"].update_one({"_id": run["_id"]}, {"$set": {"status": "running"}})
        stored["mappings"].update_one({"_id": mapping.pk}, {"$set": {"description": "another"}})
        assert not rung.wait(1.5)
    assert not bell.hangs


def test_without_change_streams_it_does_not_hang(tmp_path, monkeypatch):
    with (
        mongodb(tmp_path, free_port(), standalone=True) as server,
        MongoClient(server.url) as client,
    ):
        monkeypatch.setattr(store, "collection", lambda model: client["etl"]["runs"])
        with hung() as (bell, rung):
            bell.thread.join(10)
            assert not bell.thread.is_alive()
            assert not bell.hangs
            assert not rung.is_set()

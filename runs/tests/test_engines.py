"""What a run may use, and what it says where that is not there."""

import os
import subprocess
import sys
import time

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks

from engine.launchers import executor
from engine.problems import Problem
from engine.target import TargetParams
from runs import checks, engines
from runs.tests.workers import ROOT
from sources.contract import SourceParams

SOURCE = SourceParams("postgresql", "db", 5432, "shop", "etl", "geheim")
TARGET = TargetParams("delta", uri="/lake", options={"AWS_SECRET_ACCESS_KEY": "auch"})


def test_a_mapping_that_asks_for_spark_is_told_that_there_is_none():
    with pytest.raises(Problem) as caught:
        engines.means_of("spark")
    assert (caught.value.code, caught.value.stage) == ("mapping_incomplete", "plan")
    assert str(caught.value) == (
        'The mapping asks for the engine "spark", and this worker knows of no Spark.'
    )
    assert engines.means_of(None).spark_rows is None
    assert engines.cluster_for(engines.means_of("auto"), SOURCE, TARGET) is None


def test_without_a_setting_nothing_of_spark_is_loaded():
    code = (
        "import sys, django; django.setup(); import runs.worker, engine.serving;"
        " sys.exit('pyspark' in sys.modules)"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "etl_config.settings"}
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
    assert process.returncode == 0


def test_logins_travel_sealed_and_are_opened_for_a_day(settings, monkeypatch):
    settings.SPARK_REMOTE = "sc://spark:15002/;token=geheim"
    cluster = engines.cluster_for(engines.means_of("auto"), SOURCE, TARGET)
    assert cluster.address == "sc://spark:15002/"
    assert not any(secret in repr(cluster) for secret in ("geheim", "auch"))
    assert not any(secret in cluster.sealed for secret in ("geheim", "auch"))
    assert cluster.keys == ()
    monkeypatch.setenv("ENCRYPTION_KEY", settings.ENCRYPTION_KEY)
    opened = executor.opened(cluster.sealed)
    assert SourceParams.from_json(opened["source"]) == SOURCE
    assert TargetParams.from_json(opened["target"]) == TARGET
    day_old = Fernet(settings.ENCRYPTION_KEY).encrypt_at_time(b"{}", int(time.time()) - 86_500)
    monkeypatch.setenv("ENCRYPTION_KEYS_RETIRED", f"{Fernet.generate_key().decode()},")
    for sealed, key in (
        (day_old.decode(), settings.ENCRYPTION_KEY),
        (cluster.sealed, Fernet.generate_key().decode()),
        (cluster.sealed, ""),
    ):
        monkeypatch.setenv("ENCRYPTION_KEY", key)
        with pytest.raises(Problem) as caught:
            executor.opened(sealed)
        assert caught.value.code == "secret_unreadable"


def test_a_local_master_has_this_machines_keys_for_its_executors(settings):
    settings.SPARK_MASTER = "local[2]"
    cluster = engines.cluster_for(engines.means_of("spark"), SOURCE, TARGET)
    assert cluster.keys == (settings.ENCRYPTION_KEY, *settings.ENCRYPTION_KEYS_RETIRED)


def test_checks_find_settings_of_spark_that_do_not_fit(settings, monkeypatch):
    assert found() == set()
    settings.SPARK_REMOTE, settings.SPARK_MASTER = "sc://spark:15002", "local[2]"
    settings.SPARK_ARCHIVE = "/nowhere/etl.zip"
    monkeypatch.setattr(checks, "LIBRARY", "a_library_that_nobody_has")
    assert found() == {"service.E061", "service.E062", "service.E063"}


def found():
    codes = ("service.E061", "service.E062", "service.E063")
    return {each.id for each in run_checks(tags=["service"]) if each.id in codes}

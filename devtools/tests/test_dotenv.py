import os
import re
from pathlib import Path

from cryptography.fernet import Fernet

from devtools import dotenv

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / ".env.example"


def test_a_new_env_file_has_fresh_keys_for_its_owner_alone(tmp_path):
    file = tmp_path / ".env"

    assert dotenv.ensure(file, EXAMPLE)

    values = dict(re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE))
    assert set(values) == {"ENCRYPTION_KEY", "SECRET_KEY"}
    Fernet(values["ENCRYPTION_KEY"])
    assert len(values["SECRET_KEY"]) > 50
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_env_file_that_is_there_stays_as_it_is(tmp_path):
    file = tmp_path / ".env"
    file.write_text("PORT=8100\n")

    assert not dotenv.ensure(file, EXAMPLE)

    assert file.read_text() == "PORT=8100\n"


def test_empty_values_count_as_not_set(tmp_path, monkeypatch):
    file = tmp_path / ".env"
    file.write_text("MONGODB_URL=\nPORT=8100\n")
    for name in ("MONGODB_URL", "PORT"):
        monkeypatch.setenv(name, "restored after the test")
        monkeypatch.delenv(name)

    dotenv.load(file)

    assert "MONGODB_URL" not in os.environ
    assert os.environ["PORT"] == "8100"


def test_the_example_shows_every_setting():
    settings = (ROOT / "etl_config" / "settings.py").read_text()
    read = set(re.findall(r"""env\.\w+\(\s*["'](\w+)["']""", settings))
    shown = set(re.findall(r"^(?:# )?([A-Z]\w+)=", EXAMPLE.read_text(), re.MULTILINE))

    assert shown == read

"""What `manage.py check` says about sources."""

from connections import checks


def test_nothing_is_said_where_all_is_well():
    assert checks.mysql_driver() == []
    assert checks.places() == []


def test_a_missing_driver_is_told_with_the_way_to_it(monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)

    assert "requirements.txt" in checks.mysql_driver()[0].hint


def test_a_folder_that_others_could_change_is_told(settings, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    settings.PLACES_DIR = str(tmp_path / "link")

    assert "PLACES_DIR" in checks.places()[0].msg

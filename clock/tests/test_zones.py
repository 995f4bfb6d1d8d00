import pytest

from clock import UnknownZone, zone_named, zone_names


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Etc/GMT+5", "US/Eastern", "EST5EDT"])
def test_names_of_the_iana_database_are_known(name):
    assert name in zone_names()
    assert zone_named(name).key == name


@pytest.mark.parametrize(
    "name", ["localtime", "Factory", "posixrules", "posix/UTC", "right/UTC", "europe/berlin", ""]
)
def test_names_that_differ_from_machine_to_machine_are_not(name):
    assert name not in zone_names()


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../UTC", "/etc/localtime", "Europe", "a\0b"])
def test_a_name_of_no_zone_is_refused_with_a_sentence(name):
    with pytest.raises(UnknownZone) as raised:
        zone_named(name)
    expected = f'"{name}" is not an IANA time zone name, such as Europe/Berlin or UTC.'
    assert str(raised.value) == expected

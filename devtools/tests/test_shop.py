import psycopg2
import pytest

from devtools.accounts import remove_folder
from devtools.postgres import session
from devtools.shop import shop


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    remove_folder(tmp_path / "postgres")


def test_the_demo_source_keeps_its_data_and_lets_its_account_only_read(folder):
    with shop(folder) as first, session(first.url) as reader:
        reader.execute("SELECT count(*) FROM customers")
        assert reader.fetchone() == (3000,)
        reader.execute("SET default_transaction_read_only = off")
        for statement in (
            "DELETE FROM orders",
            "CREATE TABLE mine (id integer)",
            "CREATE TEMPORARY TABLE mine (id integer)",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                reader.execute(statement)

    with shop(folder) as second:
        assert second.url == first.url

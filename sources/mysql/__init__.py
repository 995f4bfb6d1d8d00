"""MySQL and MariaDB as a kind of source."""

from __future__ import annotations

from sources.contract import Kind

MYSQL = Kind("mysql", "MySQL or MariaDB", default_port=3306, title="MySQL")

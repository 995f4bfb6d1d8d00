"""PostgreSQL as a kind of source."""

from __future__ import annotations

from sources.contract import Kind

POSTGRESQL = Kind("postgresql", "PostgreSQL", default_port=5432, title="PostgreSQL")

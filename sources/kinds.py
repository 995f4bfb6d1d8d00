"""The kinds of source database there are; `serving` holds the driver of each."""

from __future__ import annotations

from sources.contract import Kind
from sources.mysql import MYSQL
from sources.postgresql import POSTGRESQL

KINDS: dict[str, Kind] = {kind.name: kind for kind in (MYSQL, POSTGRESQL)}

"""MySQL and MariaDB as a kind of source; what a session does is loaded with the first one."""

from __future__ import annotations

from .base import Driver

LABEL = "MySQL or MariaDB"

# They change something outside the query, or run text as SQL where no guard looks.
_SIDE_EFFECTS = r"""
    load_file | get_lock | release_lock | release_all_locks | sys_(exec|eval|set|get)
  | nextval | setval | (master|source)_\w+_wait | wait_for_\w+ | wait_until_\w+
  | keyring_\w+ | group_replication_\w+ | asynchronous_connection_failover_\w+
  | service_\w+_locks? | audit_\w+ | mysql_firewall_\w+ | http\w*
"""


class MySQLDriver(Driver):
    kind = "mysql"
    label = LABEL
    default_port = 3306
    sql_dialect = "mysql"
    side_effects = _SIDE_EFFECTS
    sessions = "mysql_session"

"""PostgreSQL as a kind of source; what a session of it does is loaded with the first one."""

from __future__ import annotations

from .base import Driver

LABEL = "PostgreSQL"

# They change something outside the query, or run text as SQL where no guard looks.
_SIDE_EFFECTS = r"""
    pg_(terminate|cancel)_backend | pg_(reload_conf|promote|nextoid|notify|export_snapshot)
  | pg_rotate_logfile\w* | pg_read_(binary_)?file\w* | pg_stat_file | pg_ls_\w+ | pg_file_\w+
  | pg_write\w* | pg_(try_)?advisory_\w+ | pg_logical_\w+ | pg_replication_\w+ | pg_copy_\w+
  | pg_create_\w+ | pg_drop_\w+ | pg_switch_\w+ | pg_wal_replay_\w+ | pg_(start|stop)_backup
  | pg_backup_\w+ | pg_stat_reset\w* | pg_stat_statements_reset | pg_log_\w+ | pg_import_\w+
  | pg_extension_config_dump | pg_stop_making_pinned_objects | pg_sync_\w+ | pg_restore_\w+
  | pg_clear_\w+ | pg_truncate_\w+ | pg_prewarm | autoprewarm_\w+ | pg_buffercache_evict\w*
  | binary_upgrade_\w+ | heap_force_\w+ | brin_(de)?summarize\w* | gin_clean_\w+
  | lo_\w+ | loread | lowrite | nextval | setval | set_config | dblink\w*
  | postgres_fdw_disconnect\w* | (query|cursor|table|schema|database)_to_xml\w* | ts_stat
  | ts_rewrite | crosstab\w* | connectby | xpath_table | plpgsql_\w+
"""


class PostgresDriver(Driver):
    kind = "postgresql"
    label = LABEL
    default_port = 5432
    sql_dialect = "postgres"
    side_effects = _SIDE_EFFECTS
    sessions = "pg_session"

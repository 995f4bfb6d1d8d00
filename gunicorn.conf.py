"""How gunicorn serves the API. WEB_CONCURRENCY, WEB_THREADS, LISTEN_HOST and PORT change it."""

import gc
import os
from pathlib import Path

from etl_config.environment import Environment
from etl_config.gunicorn_log import LINE

kept = set(os.environ)
env = Environment(Path(os.environ.get("ENV_FILE", Path(__file__).parent / ".env")))

bind = f"{env.text('LISTEN_HOST', '127.0.0.1')}:{env.whole('PORT', 8000)}"

# Requests wait for other people's databases, so threads are many and processes few. However many
# of those hang, and in whichever worker, WEB_THREADS are left for the rest.
worker_class = "etl_config.gunicorn_worker.LingeringWorker"
workers = env.whole("WEB_CONCURRENCY", 2)
threads = (
    env.whole("WEB_THREADS", 32)
    + env.whole("PROBE_MAX_CONCURRENT", 50)
    + env.whole("PREVIEW_MAX_CONCURRENT", 32)
)
# X-Forwarded-Proto counts only from these addresses; "*" when only the proxy can reach us.
forwarded_allow_ips = env.text("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

# A reload lets new workers read the file anew: it must not stay in what they inherit.
for name in set(os.environ) - kept:
    del os.environ[name]
# Every worker opens its own connections to the store: PyMongo's do not survive a fork.
preload_app = False

# A probe or a preview may take a little over five seconds; let it end before a restart.
graceful_timeout = 15
timeout = 60
keepalive = 5

limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

# The heartbeat file must not wait for a disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True

logger_class = "etl_config.gunicorn_log.AccessLogger"
accesslog = "-"
access_log_format = LINE


def post_worker_init(worker: object) -> None:
    """Take all that a start has made out of the garbage collector's sight: it stays anyway."""
    gc.collect()
    gc.freeze()

"""Everything the service can be told, read top to bottom.

Each value comes from the environment, or from a `.env` file beside `manage.py`; the README
explains them in one table. Wrong values are found by the checks in `common/checks.py`, which the
service runs as it starts.
"""

import os
from pathlib import Path

from children.networks import DENIED
from etl_config.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "1.0.0"
USER_AGENT = f"etl-engine-backend/{VERSION}"

env = Environment(Path(os.environ.get("ENV_FILE", BASE_DIR / ".env")))

# --- The process ---------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", False)
INSECURE_SECRET_KEY = "insecure-only-for-debugging-never-for-production-01234"  # noqa: S105
SECRET_KEY = env.secret("SECRET_KEY") or INSECURE_SECRET_KEY
ALLOWED_HOSTS = env.listed("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.listed("CSRF_TRUSTED_ORIGINS")
# A proxy ends TLS: it must be trusted, set X-Forwarded-Proto, and drop the client's own.
BEHIND_TLS_PROXY = env.flag("BEHIND_TLS_PROXY", False)
# What these say in X-Forwarded-For and X-Forwarded-Proto counts, and what no other address says.
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES", "127.0.0.1,::1" if BEHIND_TLS_PROXY else "")

# --- Secrets kept for the source databases -------------------------------------------------------

ENCRYPTION_KEY = env.secret("ENCRYPTION_KEY")
ENCRYPTION_KEYS_RETIRED = env.listed("ENCRYPTION_KEYS_RETIRED")
# Where records and configuration files may refer to for secrets, and nowhere else.
SECRET_ENV_PREFIX = env.text("SECRET_ENV_PREFIX", "ETL_SECRET_")
SECRETS_DIR = env.text("SECRETS_DIR", "/run/secrets")
VAULT_ADDR = env.text("VAULT_ADDR", "")
VAULT_TOKEN = env.secret("VAULT_TOKEN")

# --- The audit -----------------------------------------------------------------------------------

# Entries are sealed with it; without one, with a key that is derived from SECRET_KEY.
AUDIT_KEY = env.secret("AUDIT_KEY")
AUDIT_KEYS_RETIRED = env.listed("AUDIT_KEYS_RETIRED")
AUDIT_KEEP_DAYS = env.whole("AUDIT_KEEP_DAYS", 0)

# --- The API -------------------------------------------------------------------------------------

API_V1_PREFIX = "/" + env.text("API_V1_PREFIX", "/api/v1").strip("/")
MAX_BODY_BYTES = 1024 * 1024

# --- Access --------------------------------------------------------------------------------------

API_AUTH = env.choice("API_AUTH", ("REQUIRED", "OPEN"), "REQUIRED").lower()
# Something else than the address keeps strangers from an open API.
API_AUTH_OPEN_ANYWHERE = env.flag("API_AUTH_OPEN_ANYWHERE", False)
TOKEN_MAX_DAYS = env.whole("TOKEN_MAX_DAYS", 365)
AUTHENTICATION_BACKENDS = ["access.backends.RoleBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
]

# --- Source databases ----------------------------------------------------------------------------

PROBE_TIMEOUT_S = env.number("PROBE_TIMEOUT_S", 4.5)
PROBE_MAX_CONCURRENT = env.whole("PROBE_MAX_CONCURRENT", 50)
PREVIEW_TIMEOUT_S = env.number("PREVIEW_TIMEOUT_S", 5.0)
PREVIEW_MAX_CONCURRENT = env.whole("PREVIEW_MAX_CONCURRENT", 32)
# Where connections, tunnels, targets and webhooks may lead: what is denied wins, and where nothing
# is allowed by name, everything else is.
SOURCE_DENY_NETWORKS = env.networks("SOURCE_DENY_NETWORKS", ",".join(DENIED))
SOURCE_ALLOW_NETWORKS = env.networks("SOURCE_ALLOW_NETWORKS")
# Where the processes of one service count both together; below /tmp unless it is set.
PLACES_DIR = env.text("PLACES_DIR", "")

# Connections are checked so often, spread out, by whichever worker comes first; 0: never.
CONNECTION_CHECK_EVERY_S = env.number("CONNECTION_CHECK_EVERY_S", 0.0)

# --- Data ----------------------------------------------------------------------------------------

# The default lake and what belongs to it; the API, workers and the scheduler share it.
DATA_DIR = Path(env.text("DATA_DIR", "") or "data").resolve()
# Further folders below which a target may be.
LAKE_DIRS = env.listed("LAKE_DIRS")
# Whether the service's own environment and its machine lend what a target's credentials lack.
LAKE_AMBIENT_CREDENTIALS = env.flag("LAKE_AMBIENT_CREDENTIALS", False)

# --- Runs ----------------------------------------------------------------------------------------

RUN_MAX_ATTEMPTS = env.whole("RUN_MAX_ATTEMPTS", 3)
RUN_RETRY_PAUSE_S = env.number("RUN_RETRY_PAUSE_S", 10.0)
RUN_TIMEOUT_S = env.number("RUN_TIMEOUT_S", 0.0)
RUN_MAX_PER_SOURCE = env.whole("RUN_MAX_PER_SOURCE", 4)
# So many processes read one run side by side, in parts of at least so many rows.
RUN_PROCESSES = env.whole("RUN_PROCESSES", 2)
RUN_PART_ROWS = env.whole("RUN_PART_ROWS", 200_000)
RUN_KEEP_DAYS = env.whole("RUN_KEEP_DAYS", 90)
RUN_LOG_KEEP_DAYS = env.whole("RUN_LOG_KEEP_DAYS", 30)
REJECTED_KEEP_DAYS = env.whole("REJECTED_KEEP_DAYS", 30)

# --- Spark ---------------------------------------------------------------------------------------

# One of the two: a Spark Connect server (sc://host:15002), or a master (spark://host:7077).
SPARK_REMOTE = env.secret("SPARK_REMOTE")
SPARK_MASTER = env.text("SPARK_MASTER", "")
# What `manage.py spark_archive` made, for executors that do not have this program.
SPARK_ARCHIVE = env.text("SPARK_ARCHIVE", "")
# The engine `auto` takes Spark for so many rows and more.
SPARK_MIN_ROWS = env.whole("SPARK_MIN_ROWS", 20_000_000)

# --- A broker, an executor elsewhere --------------------------------------------------------------

# Where a broker is set, workers under Celery hear of runs by it; see docs/deployment.md.
CELERY_BROKER_URL = env.secret("CELERY_BROKER_URL")
# Which connections' runs go to which queue: crm-*=crm, the first that fits; all else to `runs`.
CELERY_QUEUES = env.listed("CELERY_QUEUES")
# Where it is set, runs are handed to an executor there, and not done by workers themselves.
RUN_DISPATCH_URL = env.secret("RUN_DISPATCH_URL")
RUN_DISPATCH_TIMEOUT_S = env.number("RUN_DISPATCH_TIMEOUT_S", 3600.0)

# --- Mail ----------------------------------------------------------------------------------------

# Where notifications go out by mail: smtp+tls://user:password@mail.example.com:587.
_MAIL = env.mail("EMAIL_URL")
EMAIL_HOST = _MAIL.host
EMAIL_PORT = _MAIL.port
EMAIL_HOST_USER = _MAIL.username
EMAIL_HOST_PASSWORD = _MAIL.password
EMAIL_USE_TLS = _MAIL.starts_tls
EMAIL_USE_SSL = _MAIL.is_tls
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "") or "etl@localhost"

# --- OpenLineage ---------------------------------------------------------------------------------

# Where workers tell of the runs that begin and end, such as http://marquez:5000; nowhere without.
OPENLINEAGE_URL = env.text("OPENLINEAGE_URL", "")
OPENLINEAGE_API_KEY = env.secret("OPENLINEAGE_API_KEY")
OPENLINEAGE_NAMESPACE = env.text("OPENLINEAGE_NAMESPACE", "") or "etl-engine"

# --- The server ----------------------------------------------------------------------------------

LISTEN_HOST = env.text("LISTEN_HOST", "") or "127.0.0.1"
PORT = env.whole("PORT", 8000)
WEB_CONCURRENCY = env.whole("WEB_CONCURRENCY", 2)
# Where Prometheus asks, if not at /metrics of the address above: 127.0.0.1:9100.
METRICS_LISTEN = env.text("METRICS_LISTEN", "")
# Requests wait for other people's databases, so threads are many and processes few. However many
# of those hang, and however many clients drip their bodies, WEB_THREADS are left for the rest.
WEB_THREADS = env.whole("WEB_THREADS", 32)
# Of tests and of previews ten more than the limit serve those for whom none runs.
SOURCE_THREADS = PROBE_MAX_CONCURRENT + PREVIEW_MAX_CONCURRENT + 20
BODY_THREADS = (WEB_THREADS + SOURCE_THREADS) // 2
SERVER_THREADS = WEB_THREADS + SOURCE_THREADS + BODY_THREADS

# --- The store -----------------------------------------------------------------------------------

MONGODB_URL = env.secret("MONGODB_URL") or "mongodb://localhost:27017"
MONGODB_DB_NAME = env.text("MONGODB_DB_NAME", "etl_engine")

DATABASES = {
    "default": {
        "ENGINE": "django_mongodb_backend",
        "HOST": MONGODB_URL,
        "NAME": MONGODB_DB_NAME,
        "OPTIONS": {
            # Each operation, its retry included, ends within this: a dead store is told in 3 s.
            "timeoutMS": 2000,
            "serverSelectionTimeoutMS": 1500,
            "connectTimeoutMS": 1500,
            # What other programs wrote must not break the reading of all that comes with it:
            # moments that Python has no form for, and texts that are no UTF-8.
            "datetime_conversion": "DATETIME_AUTO",
            "unicode_decode_error_handler": "replace",
            "appname": "etl-engine-backend",
        },
    }
}
DATABASE_ROUTERS = ["django_mongodb_backend.routers.MongoRouter"]
DEFAULT_AUTO_FIELD = "django_mongodb_backend.fields.ObjectIdAutoField"
MIGRATION_MODULES = {
    "admin": "etl_config.contrib_migrations.admin",
    "auth": "etl_config.contrib_migrations.auth",
    "contenttypes": "etl_config.contrib_migrations.contenttypes",
}

# --- The apps ------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "etl_config.apps.ServiceConfig",
    # Each before those whose templates it replaces.
    "dashboard",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "etl_config.apps.MongoAdminConfig",
    "etl_config.apps.MongoAuthConfig",
    "etl_config.apps.MongoContentTypesConfig",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    # The files of an editor for SQL, and no more.
    "django_ace",
    "common",
    "access",
    "audit",
    "connections",
    "schemas",
    "targets",
    "mappings",
    "schedules",
    "runs",
    "notifications",
    "portability",
]

MIDDLEWARE = [
    "common.middleware.RequestMiddleware",
    "common.middleware.CorsMiddleware",
    "common.middleware.ProblemMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "common.middleware.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "access.middleware.PersonMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "common.middleware.BodyMiddleware",
]

ROOT_URLCONF = "etl_config.urls"
WSGI_APPLICATION = "etl_config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "etl_config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["access.authentication.Authentication"],
    "DEFAULT_PERMISSION_CLASSES": [
        "access.permissions.IsKnown",
        "common.api.permissions.MethodIsServed",
        "access.permissions.OriginIsRight",
        "access.permissions.RoleMay",
    ],
    "DEFAULT_RENDERER_CLASSES": ["common.api.json.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["common.api.json.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "common.api.json.OnlyJSON",
    "DEFAULT_METADATA_CLASS": "common.api.json.Metadata",
    "DEFAULT_SCHEMA_CLASS": "common.api.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "common.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "ETL Engine Backend",
    "DESCRIPTION": (
        "Keeps the configuration of data pipelines: connections to source databases, mappings "
        "with their column rules, target schemas and schedules."
    ),
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "VerificationStatus": "mappings.models.VerificationStatus",
        "TargetKind": "targets.models.TargetKind",
        "NotificationKind": "notifications.models.NotificationKind",
        "DeliveryStatus": "notifications.models.DeliveryStatus",
        "RunStatusEnum": "runs.life.STATUSES",
        "HealthEnum": ["healthy", "unhealthy"],
        "CheckEnum": ["healthy", "unhealthy", "up", "absent"],
    },
    "SCHEMA_PATH_PREFIX": API_V1_PREFIX,
    "TAGS": [
        {"name": "connections", "description": "Source databases and how to reach them."},
        {"name": "targets", "description": "Where rows go."},
        {"name": "mappings", "description": "What is read, and which column goes where."},
        {"name": "schemas", "description": "Target tables; they only grow."},
        {"name": "schedules", "description": "When a mapping runs."},
        {"name": "runs", "description": "What ran, what runs, and what waits to run."},
        {"name": "notifications", "description": "Who is told of what, and what was sent."},
        {"name": "session", "description": "Log in as a user, as frontends do."},
        {"name": "me", "description": "Who one is, and what one may."},
        {"name": "tokens", "description": "Keys to the API."},
        {"name": "users", "description": "Who may log in, with which role."},
        {"name": "audit", "description": "Who changed what, and when."},
        {"name": "service", "description": "Is it there, is it well?"},
    ],
}

CORS_ALLOWED_ORIGINS = env.listed(
    "CORS_ORIGINS", '["http://localhost:5173","http://localhost:3000"]'
)
CORS_ALLOW_CREDENTIALS = True
# A frontend that may read may write, with its session's CSRF token.
CSRF_TRUSTED_ORIGINS += CORS_ALLOWED_ORIGINS
CORS_URLS_REGEX = r"^"  # Its own `.` stops at a line feed in a path.
CORS_ALLOW_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
CORS_EXPOSE_HEADERS = [
    "ETag", "Link", "X-Total-Count", "Location", "Retry-After", "X-Request-ID",
]  # fmt: skip

# --- The admin -----------------------------------------------------------------------------------

STATIC_URL = "/static/"

UNFOLD = {
    "SITE_TITLE": "ETL Engine",
    "SITE_HEADER": "ETL Engine",
    "SITE_SYMBOL": "conversion_path",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": STATIC_URL + "common/favicon.svg"}
    ],
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "dashboard.views.dashboard_callback",
    "STYLES": [STATIC_URL + "common/theme.css"],
    "SCRIPTS": [STATIC_URL + "common/theme.js"],
    "COLORS": {
        "primary": {
            "50": "#eff6ff",
            "100": "#dbeafe",
            "200": "#bfdbfe",
            "300": "#93c5fd",
            "400": "#60a5fa",
            "500": "#3b82f6",
            "600": "#2563eb",
            "700": "#1d4ed8",
            "800": "#1e40af",
            "900": "#1e3a8a",
            "950": "#172554",
        },
    },
    "COMMAND": {"search_callback": "dashboard.search.search"},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "dashboard.navigation.navigation",
    },
}
# The theme would keep what a search found for five minutes, whatever becomes of it meanwhile.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
LOGIN_REDIRECT_URL = "admin:index"
# The default signs and reads a cookie with every request, the API's included.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_FAILURE_VIEW = "common.admin.error_pages.expired"
# A mapping's page has nine inputs for each of its column mappings.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

# --- Time, language, static files ----------------------------------------------------------------

TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en-us"
USE_I18N = False

STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = DEBUG

# --- Security ------------------------------------------------------------------------------------

SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
# The middleware takes the header out where it does not come from one of TRUSTED_PROXIES.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
if BEHIND_TLS_PROXY:
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^health(/live|/ready)?/?$", r"^metrics/?$"]
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = env.whole("SECURE_HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = env.flag("SECURE_HSTS_PRELOAD", False)

# --- Logs ----------------------------------------------------------------------------------------

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS = ("LINE", "JSON")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "common.logs.RequestId"},
        "with_traceback": {"()": "common.logs.WithTraceback"},
        "without_traceback": {"()": "common.logs.WithoutTraceback"},
    },
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
        "json": {
            "()": "pythonjsonlogger.orjson.OrjsonFormatter",
            "fmt": ["levelname", "name", "request_id", "message", "exc_info"],
            "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "exception"},
            "timestamp": "time",
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": env.choice("LOG_FORMAT", LOG_FORMATS, "LINE").lower(),
            "filters": ["request_id"],
        }
    },
    "root": {"handlers": ["console"], "level": env.choice("LOG_LEVEL", LOG_LEVELS, "INFO")},
    "loggers": {
        # Debug records of these hold whole commands, tokens included.
        "pymongo": {"level": "WARNING"},
        "django_mongodb_backend": {"level": "WARNING"},
        "django.db.backends": {"level": "WARNING"},
        "django.request": {"filters": ["with_traceback"]},
        "django.security.DisallowedHost": {"filters": ["without_traceback"]},
    },
}

# --- Checks --------------------------------------------------------------------------------------

SETTINGS_PROBLEMS = env.problems
# What no record and no file may refer to.
OWN_VARIABLES = env.names
OWN_FILES = env.files
# `service.E007` says the same of CORS_ORIGINS, by the name that it has in the environment.
SILENCED_SYSTEM_CHECKS = ["corsheaders.E013", "corsheaders.E014"]
# To be on the browsers' list of hosts is for the owner of the domain to ask for.
SILENCED_SYSTEM_CHECKS += ["security.W021"]

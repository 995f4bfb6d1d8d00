"""What the environment says; the names are the service's own."""

import os

MONGODB_URL = os.environ["MONGODB_URL"]
MONGODB_DB_NAME = os.environ["MONGODB_DB_NAME"]
ENCRYPTION_KEY = os.environ["ENCRYPTION_KEY"]
API_V1_PREFIX = os.environ.get("API_V1_PREFIX", "/api/v1")
CORS_ORIGINS = ["http://localhost:5173", "http://localhost:3000"]
MAX_BODY_BYTES = 1024 * 1024

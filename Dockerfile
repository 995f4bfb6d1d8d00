# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
WORKDIR /app
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# mysqlclient is built here: the compiler and the headers stay behind.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev pkg-config libmariadb-dev
# Exactly these files: `make image-requirements` renews the list.
COPY requirements-image.txt ./
RUN pip install --require-hashes -r requirements-image.txt
COPY . .
# What is optional, such as requirements-celery.txt.
ARG EXTRA_REQUIREMENTS=""
RUN if [ -n "$EXTRA_REQUIREMENTS" ]; then pip install -r "$EXTRA_REQUIREMENTS"; fi
# The keys serve this one command; neither is in an image that runs.
RUN SECRET_KEY=build ENCRYPTION_KEY=build python manage.py collectstatic --no-input --verbosity 0 \
    && python -m compileall -q .


FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libmariadb3 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin etl \
    && install -d -o 10001 -g 10001 /data
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 LISTEN_HOST=0.0.0.0 PORT=8000 DATA_DIR=/data
VOLUME /data
WORKDIR /app
COPY --from=build /venv /venv
COPY --from=build /app /app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=6s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=5)"]
CMD ["python", "-m", "etl_config.serve"]

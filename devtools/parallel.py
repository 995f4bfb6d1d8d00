"""A pytest plugin: each process of a parallel run has a database and folders of its own.

Named with `-p` in pytest.ini, so that it comes before the settings are read.
"""

import os

worker = os.environ.get("PYTEST_XDIST_WORKER")
if worker:
    os.environ["MONGODB_DB_NAME"] += f"_{worker}"
    for name in ("DATA_DIR", "PLACES_DIR"):
        os.environ[name] += f"/{worker}"
    # Where the process counts that started this one; it has chosen that as it loaded the settings.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

"""Spark of the tests, on loopback: a master with two workers, or a Connect server."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from devtools.processes import free_port
from runs.tests.workers import until

MASTER = "org.apache.spark.deploy.master.Master"
WORKER = "org.apache.spark.deploy.worker.Worker"
CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"
EXECUTOR = "CoarseGrainedExecutorBackend"
START_S = 300.0
ON_LOOPBACK = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
"""What the driver is told, too."""


@contextmanager
def master(folder):
    """Give the address of a master with two workers of one core, away from this program."""
    port = free_port()
    address = f"spark://127.0.0.1:{port}"
    common = ["--host", "127.0.0.1", "--webui-port", str(free_port())]
    with ExitStack() as stack:
        stack.enter_context(_java(folder / "master", MASTER, *common, "--port", str(port)))
        _await(port)
        for number in (1, 2):
            work = folder / f"worker{number}"
            place = ["--cores", "1", "--memory", "1g", "--work-dir", str(work / "work")]
            common = ["--host", "127.0.0.1", "--webui-port", str(free_port())]
            stack.enter_context(_java(work, WORKER, *common, *place, address))
        log = folder / "master" / "log"
        until(lambda: log.read_text().count("Registering worker") == 2, "no workers", START_S)
        yield address


@contextmanager
def connect(folder):
    """Give the address of a Connect server with two cores."""
    port = free_port()
    given = {"spark.connect.grpc.binding.address": "127.0.0.1",
             "spark.connect.grpc.binding.port": port, "spark.ui.enabled": "false"}  # fmt: skip
    confs = [word for name, value in given.items() for word in ("--conf", f"{name}={value}")]
    program = [home() / "bin" / "spark-submit", "--master", "local[2]", *confs,
               "--class", CONNECT, "spark-internal"]  # fmt: skip
    with _process(folder / "connect", program):
        _await(port)
        yield f"sc://127.0.0.1:{port}"


def home():
    """Return where Spark is: within its Python library."""
    import pyspark

    return Path(pyspark.__file__).parent


def executors():
    """Return the pids of the executors on this machine."""
    found = subprocess.run(["pgrep", "-f", EXECUTOR], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def _java(folder, *arguments):
    return _process(folder, [home() / "bin" / "spark-class", *arguments])


@contextmanager
def _process(folder, program):
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            list(map(str, program)), cwd=folder, env=os.environ | ON_LOOPBACK,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(port):
    def answers():
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    until(answers, f"nothing listens on {port}", START_S)
    time.sleep(0.5)

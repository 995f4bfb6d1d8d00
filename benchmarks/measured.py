"""Run a command and tell what it cost: `python -m benchmarks.measured COMMAND…`.

The last line of the output is JSON: `wall_s`, `cpu_s` of the command and of all that it started,
and `peak_mib`, the most memory that a single one of these processes has held.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    # What outlives the command is waited for, too: its time would be lost.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = time.perf_counter()
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    wall_s = time.perf_counter() - started
    _wait_for_the_rest()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
    }
    print(json.dumps(cost))
    return code


def _wait_for_the_rest() -> None:
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Loaded by a zygote of the tests: its children look names up as the environment says.

TEST_NAMES holds words such as `db.example=127.0.0.1,127.0.0.2`; `slow.example=` never answers.
"""

import os
import time

from sources import network

_names = dict(word.split("=") for word in os.environ.get("TEST_NAMES", "").split())
_system = network._system_lookup


def _look_up(name):
    if name not in _names:
        return _system(name)
    if not _names[name]:
        time.sleep(60)
    return [(2, 1, 6, "", (address, 0)) for address in _names[name].split(",")]


network._system_lookup = _look_up

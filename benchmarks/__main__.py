"""`make bench`: the service beside its peer, on one store.

MONGODB_URL names a MongoDB of your own; without it a compiled server is built once and used.
"""

import argparse
import sys

from benchmarks import compare, report
from benchmarks.endpoints import ENDPOINTS
from devtools.processes import launch


def main() -> int:
    options = _options()
    endpoints = [each for each in ENDPOINTS if not options.only or each.key in options.only]

    def work() -> int:
        print(report.comparison(compare.compare(endpoints, options.rounds, options.seconds)))
        return 0

    return launch(work)


def _options() -> argparse.Namespace:
    keys = [each.key for each in ENDPOINTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs the medians are of")
    parser.add_argument("--seconds", type=float, default=1.0, help="that a run lasts")
    parser.add_argument(
        "--only", type=_listed, default=[], help=f"some of {','.join(keys)}, by commas"
    )
    return parser.parse_args()


def _listed(text: str) -> list[str]:
    known = {each.key for each in ENDPOINTS}
    if unknown := set(text.split(",")) - known:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not an endpoint here")
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())

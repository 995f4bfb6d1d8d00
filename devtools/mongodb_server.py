"""Start the embedded MongoDB-wire server, with some of its answers corrected.

In MongoDB `{$project: {x: {y: 1}}}` includes the field `x.y`; this server reads `{y: 1}` as a
literal. `{$set: {x: {y: 1}}}` sets `x.y` and keeps what else is in `x`; this server replaces `x`.
Silently: ordering by a related field goes wrong, permissions of a login do, and pages of the admin
fail. Dotted keys it does well, so nested ones are written that way before a stage sees them.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

Stage = Callable[[Any, Any, Any], Any]

CORRECTED = ("$project", "$addFields", "$set")


def flatten(spec: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a stage's fields with dotted keys for nested documents, expressions left alone."""
    flat: dict[str, Any] = {}
    for key, value in spec.items():
        if isinstance(value, Mapping) and value and not any(k.startswith("$") for k in value):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def correct(stage: Stage) -> Stage:
    """Return a stage that understands nested documents."""

    def corrected(spec: Any, docs: Any, context: Any) -> Any:
        return stage(flatten(spec) if isinstance(spec, Mapping) else spec, docs, context)

    return corrected


def main() -> int:
    from secantus import aggregate, cli

    stages: dict[str, Stage] = aggregate._STAGES
    stages |= {name: correct(stages[name]) for name in CORRECTED}
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

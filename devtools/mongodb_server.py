"""Start the embedded MongoDB-wire server, with one of its answers corrected.

`{$project: {x: {y: 1}}}` includes the field `x.y` in MongoDB; this server reads `{y: 1}` as a
literal. Silently: ordering by a related field goes wrong, and so do Django's permissions. Dotted
keys it does well, so nested ones are written that way before the stage sees them.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any


def flatten(spec: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a projection with dotted keys for its nested documents, expressions left alone."""
    flat: dict[str, Any] = {}
    for key, value in spec.items():
        if isinstance(value, Mapping) and value and not any(k.startswith("$") for k in value):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def correct(stage: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `$project` stage that understands nested documents."""

    def project(spec: Any, docs: Any, context: Any) -> Any:
        return stage(flatten(spec) if isinstance(spec, Mapping) else spec, docs, context)

    return project


def main() -> int:
    from secantus import aggregate, cli

    aggregate._STAGES["$project"] = correct(aggregate._STAGES["$project"])
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

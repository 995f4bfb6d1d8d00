"""The options of an object store that a target may give; delta-rs is handed no other.

What would send it elsewhere than the target says is not among them: a proxy, a metadata service, a
file or a command of this machine. Where an option does name a host, `endpoints` tells it, so that
it can be held to the networks that may be met.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from engine.columns import nearest

EMULATOR = "http://127.0.0.1:10000"
"""Where delta-rs finds Azure's emulator, unless its environment says otherwise."""

_PREFIX = re.compile(r"(aws|azure_storage|azure|google)_")
_ENDPOINTS = frozenset(
    ("endpoint", "endpoint_url", "endpoint_url_s3", "authority_host", "base_url")
)
_KNOWN = _ENDPOINTS | {
    # of any store
    "allow_http", "allow_invalid_certificates", "connect_timeout", "timeout", "http1_only",
    "http2_only", "http2_keep_alive_interval", "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle", "http2_max_frame_size", "pool_idle_timeout",
    "pool_max_idle_per_host", "randomize_addresses", "user_agent", "skip_signature", "max_retries",
    "retry_timeout", "backoff_config.init_backoff", "backoff_config.max_backoff",
    "backoff_config.base", "object_store_concurrency_limit", "disable_tagging",
    # S3
    "access_key_id", "secret_access_key", "session_token", "token", "region", "default_region",
    "virtual_hosted_style_request", "unsigned_payload", "checksum_algorithm",
    "copy_if_not_exists", "conditional_put", "s3_express", "request_payer",
    "server_side_encryption", "sse_kms_key_id", "sse_bucket_key_enabled",
    "sse_customer_key_base64", "s3_allow_unsafe_rename",
    # Azure
    "account_name", "account_key", "access_key", "master_key", "client_id", "client_secret",
    "tenant_id", "authority_id", "sas_key", "sas_token", "bearer_token", "use_emulator",
    # Google
    "service_account_key",
}  # fmt: skip
_OF_THIS_MACHINE = frozenset(("service_account", "service_account_path", "application_credentials"))
_IN_A_HOST = frozenset(("region", "default_region", "account_name"))
_ACCOUNT = "service_account"
_HOST_PART = re.compile(r"[A-Za-z0-9-]{0,63}")


def plain(name: str) -> str:
    """Return an option's name as all its spellings have it: `AWS_REGION` is `region`."""
    return _PREFIX.sub("", name.lower(), count=1)


def problem_of(options: Mapping[str, str], ambient: bool = False) -> str | None:
    """Return what is wrong with the first option that delta-rs must not have; None of right ones.

    With `ambient` files of this machine may be named, as its environment lends them, too.
    """
    found = (_problem(name, value, ambient) for name, value in options.items())
    return next((said for said in found if said), None)


def _problem(name: str, value: str, ambient: bool) -> str | None:
    short = plain(name)
    if short in _OF_THIS_MACHINE:
        said = f'"{name}" is a file of this machine: give GOOGLE_SERVICE_ACCOUNT_KEY its content.'
        return None if ambient else said
    if short not in _KNOWN:
        near = nearest(short, sorted(_KNOWN))
        hint = f'; the nearest is "{near}"' if near else ""
        return f'There is no option "{name}" of a target{hint}.'
    if short in _IN_A_HOST and not _HOST_PART.fullmatch(value):
        return f'"{name}" has letters, digits and hyphens alone.'
    if short in ("copy_if_not_exists", "conditional_put") and value.startswith("dynamo"):
        return f'"{name}" leads to another service.'
    if short == "service_account_key" and _key(value).get("type", _ACCOUNT) != _ACCOUNT:
        return f'"{name}" is no key of a service account.'
    return None


def endpoints(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the options that name a host, each with the URL that leads there."""
    for name, value in options.items():
        short = plain(name)
        found: object = None
        if short in _ENDPOINTS:
            found = value
        elif short == "use_emulator" and value.lower() in ("1", "true", "on", "yes", "y"):
            found = EMULATOR
        elif short == "service_account_key":
            found = _key(value).get("gcs_base_url")
        if found:
            url = str(found)
            yield name, url if "://" in url else f"//{url}"


def _key(value: str) -> dict[str, object]:
    try:
        found = json.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

"""Certificates and keys, given as PEM text and never written to a disk."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sources.contract import SSL_MODES, SourceParams
from sources.errors import SourceUnreachable


@contextmanager
def memory_file(text: str) -> Iterator[str]:
    """Give `text` a path for libraries that only read files; it exists in memory alone."""
    fd = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.fchmod(fd, 0o600)  # libpq refuses a key that others may read
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(text.encode())
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def check_mode(params: SourceParams) -> None:
    """Raise SourceUnreachable (tls_failed) for settings that cannot work together."""
    if params.ssl_mode not in SSL_MODES:
        raise failed(
            f'ssl_mode "{params.ssl_mode}" is not known.', f"Choose one of {', '.join(SSL_MODES)}."
        )
    if bool(params.ssl_cert) != bool(params.ssl_key):
        raise failed("A client certificate needs both ssl_cert and ssl_key.", "Give both or none.")


def failed(message: str, hint: str = "") -> SourceUnreachable:
    return SourceUnreachable(message, error_code="tls_failed", hint=hint, stage="tls")


def context(params: SourceParams) -> ssl.SSLContext:
    """Return the client's side of TLS for `params.ssl_mode`, with its certificates loaded."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = params.ssl_mode == "verify-full"
    verify = params.ssl_mode in ("verify-ca", "verify-full")
    made.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    try:
        if params.ssl_ca:
            made.load_verify_locations(cadata=params.ssl_ca)
        elif verify:
            made.load_default_certs()
        if params.ssl_cert and params.ssl_key:
            with memory_file(params.ssl_cert) as cert, memory_file(params.ssl_key) as key:
                made.load_cert_chain(cert, key, password=_no_passphrase)
    except (ssl.SSLError, OSError, ValueError) as exc:
        raise failed(
            "The TLS certificates or the key cannot be read.",
            "ssl_ca, ssl_cert and ssl_key are PEM texts; the key has no passphrase.",
        ) from exc
    return made


def _no_passphrase() -> str:
    """Stand in for OpenSSL's question on the terminal, which would wait for ever."""
    return ""


def system_ca() -> str | None:
    """Return the path of this machine's own list of authorities, if it has one."""
    paths = ssl.get_default_verify_paths()
    candidates = (paths.cafile, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt")
    return next((path for path in candidates if path and Path(path).exists()), None)


def libpq_options(params: SourceParams, files: ExitStack) -> dict[str, str]:
    """Return libpq's TLS options; the PEM texts live as long as `files`.

    Each is always given, so that nothing comes from the environment or a home directory.
    """
    nowhere = "/nonexistent"
    options = {"sslmode": params.ssl_mode, "sslrootcert": nowhere, "sslcrl": "", "sslcrldir": ""}
    verify = params.ssl_mode in ("verify-ca", "verify-full")
    if params.ssl_ca:
        options["sslrootcert"] = files.enter_context(memory_file(params.ssl_ca))
    elif verify and (path := system_ca()):
        options["sslrootcert"] = path
    if params.ssl_cert and params.ssl_key:
        options["sslcert"] = files.enter_context(memory_file(params.ssl_cert))
        options["sslkey"] = files.enter_context(memory_file(params.ssl_key))
        options["sslpassword"] = "-"
    else:
        options["sslcertmode"] = "disable"
    return options

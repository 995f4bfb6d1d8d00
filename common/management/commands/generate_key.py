from typing import Any

from cryptography.fernet import Fernet

from common.commands import OperatorCommand


class Command(OperatorCommand):
    help = "Print a new encryption key, for ENCRYPTION_KEY."
    examples = ("", "> new-key.txt")
    exit_codes = {0: "the key is on standard output"}
    when_stopped = "Nothing was written."
    # It is run to mend what the checks complain about.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(Fernet.generate_key().decode())

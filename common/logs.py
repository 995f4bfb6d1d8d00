"""What log lines say beside their message, and which of them say nothing."""

import logging

from common import context


class RequestId(logging.Filter):
    """Gives each line the id of its request as `request_id`; `-` outside of one."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = context.current().request_id or "-"
        return True


class WithTraceback(logging.Filter):
    """Drops lines that only repeat a status: the access log has it, with the request's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None and getattr(record, "status_code", 500) >= 500


class WithoutTraceback(logging.Filter):
    """Keeps to one line what any stranger can have logged: where it was found says nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True

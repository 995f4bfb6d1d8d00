"""What the log lines say beside their message."""

import logging

from common import context


class RequestId(logging.Filter):
    """Gives each line the id of its request as `request_id`; `-` outside of one."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = context.current().request_id or "-"
        return True

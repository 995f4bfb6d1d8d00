"""The app of notifications."""

from __future__ import annotations

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"

    def ready(self) -> None:
        from connections import monitoring
        from notifications import (
            checks,  # noqa: F401 - checks register themselves
            emitting,
            outbox,
            sending,
        )
        from runs import duties, outcomes, queueing
        from runs.duties import Duty

        outcomes.on_end(outbox.run_ended)
        outcomes.on_begin(emitting.run_began)
        outcomes.on_end(emitting.run_ended)
        queueing.on_skip(outbox.slots_skipped)
        monitoring.on_turn(outbox.connection_turned)
        duties.register(Duty("send", sending.deliver_due, every_s=0.5, threads=4))
        duties.register(Duty("check", monitoring.check_due, every_s=1.0))

"""Runs: what was done, is done or waits to be done for a mapping; their logs and refused rows.

None is a `Document`: people only start and stop them. They are written by conditional updates, each
an edge of `life`; see `queueing`, `claims` and `outcomes`.
"""

from typing import ClassVar

from django.db import models
from django_mongodb_backend.fields import ArrayField, ObjectIdField

from runs.life import STAGES, STATUSES, TRIGGERS


def _choices(words: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(word, word) for word in words]


class Run(models.Model):
    """One run of a mapping, with the plan that it keeps.

    The lower fields are the service's own: `holds` is what nobody else may hold while it does (its
    mapping, a place at its source), `slot_key` the slot that no other run stands for, `token` that
    of the attempt under way, `lost_tokens` those whose attempts may have committed unseen.
    """

    kept: ClassVar[frozenset[str]] = frozenset()

    mapping_id = ObjectIdField()
    mapping_name = models.CharField(max_length=100)
    schedule_id = ObjectIdField(null=True)
    slot = models.DateTimeField(null=True)
    trigger = models.CharField(max_length=10, choices=_choices(TRIGGERS))
    retry_of = ObjectIdField(null=True)
    status = models.CharField(max_length=10, choices=_choices(STATUSES))
    skip_reason = models.CharField(max_length=20, null=True)
    skipped_slots = models.IntegerField(null=True)
    stage = models.CharField(max_length=10, choices=_choices(STAGES), null=True)
    attempt = models.IntegerField(default=0)
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    duration_ms = models.IntegerField(null=True)
    rows_read = models.IntegerField(default=0)
    rows_written = models.IntegerField(default=0)
    rows_rejected = models.IntegerField(default=0)
    progress = models.FloatField(null=True)
    engine = models.CharField(max_length=10, null=True)
    worker = models.CharField(max_length=100, null=True)
    target = models.JSONField(null=True)
    cursor_from = models.TextField(null=True)
    cursor_to = models.TextField(null=True)
    full_refresh = models.BooleanField(default=False)
    warnings = models.JSONField(default=list)
    error = models.JSONField(null=True)
    slot_start = models.DateTimeField(null=True)
    slot_end = models.DateTimeField(null=True)

    slot_key = models.CharField(max_length=64, null=True, unique=True)
    plan_id = models.CharField(max_length=64, null=True)
    plan_version = models.IntegerField(default=1)
    connection_id = ObjectIdField(null=True)
    connection_name = models.CharField(max_length=100, null=True)
    target_id = ObjectIdField(null=True)
    holds = ArrayField(models.CharField(max_length=80), null=True)
    token = models.CharField(max_length=32, null=True)
    lost_tokens = models.JSONField(default=list)
    not_before = models.DateTimeField(null=True)
    heartbeat = models.IntegerField(default=0)
    cancel_asked = models.BooleanField(default=False)
    rejected_kept = models.IntegerField(default=0)

    class Meta:
        db_table = "runs"
        ordering = ["-queued_at", "-id"]
        indexes = [
            # Upwards: the embedded server leaves out what a range of a descending index ends with.
            models.Index(fields=["queued_at", "id"], name="runs_newest"),
            models.Index(fields=["mapping_id", "queued_at", "id"], name="runs_mapping"),
            models.Index(fields=["mapping_id", "status", "queued_at"], name="runs_mapping_status"),
            models.Index(fields=["schedule_id", "queued_at", "id"], name="runs_schedule"),
            models.Index(fields=["schedule_id", "status"], name="runs_schedule_status"),
            models.Index(fields=["status", "queued_at", "id"], name="runs_status"),
            models.Index(fields=["trigger", "queued_at", "id"], name="runs_trigger"),
            models.Index(fields=["connection_id", "status"], name="runs_connection"),
            models.Index(fields=["target_id", "status"], name="runs_target"),
            models.Index(fields=["ended_at"], name="runs_ended"),
            models.Index(fields=["plan_id"], name="runs_plan"),
            # Its unique index is partial, by a type: nothing is looked for in that.
            models.Index(fields=["slot_key", "status"], name="runs_slot"),
        ]
        constraints = [
            # An index over an array holds each of its items: one run at a time holds each.
            models.UniqueConstraint(fields=["holds"], name="runs_hold_alone"),
        ]

    def __str__(self) -> str:
        return f"{self.mapping_name} {self.pk}"


class Plan(models.Model):
    """What runs do, once for all runs that do the same; its id is made of its content."""

    id = models.CharField(max_length=64, primary_key=True, db_column="_id")
    content = models.JSONField()
    made_at = models.DateTimeField()

    class Meta:
        db_table = "run_plans"

    def __str__(self) -> str:
        return str(self.pk)


class LogLine(models.Model):
    """A line of a run's log, until `expires_at`."""

    kept: ClassVar[frozenset[str]] = frozenset()

    run_id = ObjectIdField()
    at = models.DateTimeField()
    attempt = models.IntegerField()
    stage = models.CharField(max_length=10, null=True)
    level = models.CharField(max_length=10)
    message = models.TextField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "run_logs"
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["run_id", "at", "id"], name="run_logs_in_order")]

    def __str__(self) -> str:
        return self.message


class RejectedPart(models.Model):
    """`PART_ROWS` of a run's refused values, in their order, until `expires_at`."""

    run_id = ObjectIdField()
    part = models.IntegerField()
    entries = models.JSONField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "run_rejected"
        indexes = [models.Index(fields=["run_id", "part"], name="run_rejected_parts")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.part}"


KEYS = "run_keys"
"""The collection of the idempotency keys; they expire, see its migration."""
WORKERS = "run_workers"
"""The collection of the workers that live, or did a while ago."""

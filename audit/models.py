"""The entries of the audit: who changed what, each sealed to the one before."""

from django.db import models
from django_mongodb_backend.fields import ObjectIdField


class Entry(models.Model):
    """One write that succeeded. `seq`, `previous_hash` and `hash` are null until it is sealed.

    No `Document`: nothing changes it, refers to it, or is told of it.
    """

    at = models.DateTimeField()
    actor = models.CharField(max_length=200, null=True)
    via = models.CharField(
        max_length=10, null=True, choices=[(via, via) for via in ("api", "admin", "command")]
    )
    address = models.CharField(max_length=100, null=True)
    request_id = models.CharField(max_length=100, null=True)
    action = models.CharField(
        max_length=10, choices=[(action, action) for action in ("create", "update", "delete")]
    )
    kind = models.CharField(max_length=100)
    record_id = ObjectIdField(null=True)
    name = models.TextField(null=True)
    changes = models.JSONField()
    seq = models.IntegerField(null=True, unique=True)
    previous_hash = models.CharField(max_length=64, null=True)
    hash = models.CharField(max_length=64, null=True)

    class Meta:
        db_table = "audit"
        ordering = ["-at", "-id"]
        indexes = [
            # Upwards: the embedded server leaves out what a range of a descending index ends with.
            models.Index(fields=["at", "id"], name="audit_newest"),
            models.Index(fields=["actor", "at", "id"], name="audit_actor"),
            models.Index(fields=["action", "at", "id"], name="audit_action"),
            models.Index(fields=["kind", "at", "id"], name="audit_kind"),
            models.Index(fields=["record_id", "at", "id"], name="audit_record"),
            models.Index(fields=["seq", "at", "id"], name="audit_to_seal"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.record_id}"

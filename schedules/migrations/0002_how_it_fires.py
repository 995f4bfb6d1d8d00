from typing import Any

import django_mongodb_backend.fields
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

from common.documents.adoption import AddNullableField


def seconds(default: int, most: int) -> Any:
    within = [MinValueValidator(0), MaxValueValidator(most)]
    return models.IntegerField(default=default, validators=within)


class Migration(migrations.Migration):
    dependencies = [("schedules", "0001_initial")]

    operations = [
        AddNullableField("schedule", name, field)
        for name, field in {
            "overlap": models.CharField(
                max_length=10, choices=[("skip", "Skip"), ("queue", "Queue")], default="skip"
            ),
            "catch_up": models.CharField(
                max_length=10,
                choices=[("none", "None"), ("latest", "Latest"), ("all", "All")],
                default="latest",
            ),
            "catch_up_window_s": seconds(3600, 2_678_400),
            "jitter_s": seconds(0, 86_400),
            "start_at": models.DateTimeField(null=True, blank=True),
            "end_at": models.DateTimeField(null=True, blank=True),
            "last_run_id": django_mongodb_backend.fields.ObjectIdField(null=True, editable=False),
            "last_run_status": models.CharField(max_length=10, null=True, editable=False),
        }.items()
    ] + [
        migrations.AddIndex(
            "schedule", models.Index(fields=["last_run_status"], name="schedules_last_status")
        )
    ]

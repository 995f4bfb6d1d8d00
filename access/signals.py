"""What Django itself writes of accounts is seen at once by the process that writes it."""

from typing import Any

from django.contrib.auth.models import Group, User
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.dispatch import receiver

from access.callers import memory


@receiver([post_save, post_delete], sender=User)
@receiver([post_save, post_delete], sender=Group)
@receiver(m2m_changed, sender=User.groups.through)
def forget(**kwargs: Any) -> None:
    memory.forget()

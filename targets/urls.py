"""Addresses of the targets."""

from common.api.routers import SlashlessRouter
from targets.views import TargetViewSet

router = SlashlessRouter()
router.register("targets", TargetViewSet, basename="target")

urlpatterns = router.urls

"""Addresses of the connections."""

from common.api.routers import SlashlessRouter
from connections.views import ConnectionViewSet

router = SlashlessRouter()
router.register("connections", ConnectionViewSet, basename="connection")

urlpatterns = router.urls

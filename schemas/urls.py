"""Addresses of the schemas."""

from common.api.routers import SlashlessRouter
from schemas.views import SchemaViewSet

router = SlashlessRouter()
router.register("schemas", SchemaViewSet, basename="schema")

urlpatterns = router.urls

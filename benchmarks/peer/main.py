"""The application: `uvicorn peer.main:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from peer import column_mappings, connections, database, problems, schedules, settings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    database.client.close()


app = FastAPI(title="ETL Engine Backend", lifespan=lifespan, redirect_slashes=False)
app.add_middleware(
    CORSMiddleware,
    allow_origins=settings.CORS_ORIGINS,
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
    expose_headers=["ETag", "Link", "X-Total-Count", "Location"],
)
problems.register(app)

api = APIRouter(prefix=settings.API_V1_PREFIX)
for part in (connections, column_mappings, schedules):
    api.include_router(part.router)
app.include_router(api)


@app.get("/health")
def health() -> dict[str, str]:
    database.client.admin.command("ping")
    return {"status": "healthy"}

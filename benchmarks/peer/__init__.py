"""The service as its users would otherwise write it: FastAPI, pydantic and PyMongo.

It answers the endpoints that the benchmark measures, on the service's own collections and indexes,
with the same bodies, rules, status codes and headers. It imports nothing of the service.
"""

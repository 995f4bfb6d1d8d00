"""Launchers for development: the servers of `make run` and `make test`, and what they need."""

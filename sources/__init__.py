"""Strangers' databases: one contract, one folder a kind, and a child process for each session.

`probe`, `preview` and `statement` are what the rest of the service calls; none of them speaks to
a database, or reads a statement, in its own process.
"""

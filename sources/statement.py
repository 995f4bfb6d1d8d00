"""Judge a statement that is being saved, where there is no connection to ask."""

from __future__ import annotations

from sources.asking import check_statement

__all__ = ["check_statement"]

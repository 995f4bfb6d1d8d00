"""Lineage: from which columns of which tables the columns of a query come.

Plain values in, plain values out; it knows neither Django nor the store. A hostile query may take
long or much memory: whoever calls bounds both.
"""

from lineage.flows import Source
from lineage.query import Column, UnreadableQuery, columns_of

__all__ = ["Column", "Source", "UnreadableQuery", "columns_of"]

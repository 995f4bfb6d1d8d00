"""Lineage: from which columns of which tables the columns of a query come.

Plain values in, plain values out; it knows neither Django nor the store. A hostile query may take
long or much memory: `asking` has it read in a child that ends in time; `query` is what reads.
"""

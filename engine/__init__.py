"""Rows on their way from a source to a target: plain values in, plain values out.

Nothing here knows Django or the store. `plan`, `kinds` and `problems` are light; the rest imports
pyarrow, which takes half a second and 100 MB: workers and children do that, the API never.
"""

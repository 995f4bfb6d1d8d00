"""A query's rows as Arrow batches of `engine.kinds`, one module for each kind of source."""

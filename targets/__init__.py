"""Targets: where the rows of runs go."""

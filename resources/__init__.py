"""Dagster resources: thin wrappers that open the library's own classes."""

"""Dagster assets: one module a stage; they wire, the library computes."""

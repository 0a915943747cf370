"""The newest vector of every instrument, for models that serve: a memory-mapped store under the home."""

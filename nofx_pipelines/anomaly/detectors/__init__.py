"""Detectors: each turns conditioned bars into statistics, calibrated against a frozen reference."""

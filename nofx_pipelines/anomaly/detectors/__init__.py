"""Detectors: each turns conditioned bars into statistics. ``protocol`` says what one is."""

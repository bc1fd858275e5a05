"""Measure a camera's noise: bursts of a still scene and dark frames become a profile."""

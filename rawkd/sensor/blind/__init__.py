"""Estimate noise parameters from the pixels of a single photo."""

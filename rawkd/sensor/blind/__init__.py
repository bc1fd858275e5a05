"""Noise parameters from the pixels of one photo alone."""

"""Readers of public data sets; each yields cases of noisy and clean mosaics."""

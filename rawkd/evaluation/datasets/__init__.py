"""Read public data sets; each yields cases of a noisy mosaic and its reference."""

"""Restore a noisy mosaic: `pipeline` runs all steps in order."""

"""Batches: find photos, pool the noise of each series, denoise several photos at a time, resume a stopped run."""

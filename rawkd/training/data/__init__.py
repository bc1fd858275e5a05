"""Turn clean pictures into noisy training batches."""

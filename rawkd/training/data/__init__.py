"""From clean pictures to noisy training batches."""

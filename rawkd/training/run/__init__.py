"""The training loop, optimisers and multi-process training."""

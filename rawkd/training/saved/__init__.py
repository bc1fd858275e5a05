"""What a training run leaves behind: checkpoints, cards, and where the weights come from."""

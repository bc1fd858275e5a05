"""From a noisy mosaic to a restored one: `pipeline` tells the story."""

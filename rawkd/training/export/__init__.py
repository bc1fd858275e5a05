"""From a training run to a model directory."""

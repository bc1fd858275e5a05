"""Distillation, the four steps of the NTIRE 2020 raw winner, and the search for its siamese network."""

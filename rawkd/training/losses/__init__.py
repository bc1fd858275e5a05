"""Losses, and the no-reference measures that some of them are built on."""

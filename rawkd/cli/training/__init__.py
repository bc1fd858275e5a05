"""The hidden commands that make models: train, distill, search, export."""

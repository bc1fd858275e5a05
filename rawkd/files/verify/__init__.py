"""Check raw pictures against the digests that their DNGs state."""

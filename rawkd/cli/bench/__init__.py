"""`rawkd bench`: score models on data sets."""

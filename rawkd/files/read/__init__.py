"""From a raw file to a `RawPhoto`."""

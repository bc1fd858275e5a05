"""Read raw files and other pictures; `read_raw` returns a `RawPhoto`."""

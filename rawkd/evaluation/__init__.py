"""Benchmarks: reading public data sets, running methods over them, scoring by each set's own rules."""

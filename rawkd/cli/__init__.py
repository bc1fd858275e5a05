"""The command line: options become values, errors become exit codes, and nothing else happens here."""

from rawkd.cli.app import main

__all__ = ["main"]

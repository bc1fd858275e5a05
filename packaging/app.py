"""Entry point of the frozen app: the command line, or one of the child processes that rawkd starts."""

import sys

CHILD_OPTION = "--rawkd-child"
"""As in rawkd/files/child_process.py; repeated here so that a child imports nothing else."""


def main() -> int:
    """Run what the first arguments ask for."""
    if sys.argv[1:2] != [CHILD_OPTION]:
        from rawkd.cli import main as command_line

        return command_line()
    name = sys.argv[2]
    del sys.argv[1:3]
    if name == "decode_child":
        from rawkd.files.read.decode_child import main as child
    elif name == "child":
        from rawkd.files.read.camera_settings.child import main as child
    else:
        raise SystemExit(f"rawkd has no child process {name!r}")
    return child()


if __name__ == "__main__":
    sys.exit(main())

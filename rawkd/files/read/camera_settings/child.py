"""Child process that decodes EXIF and maker notes with exifread; a crash or hang costs only fields for display.

Run as a script with a path. It prints one JSON object, {tag name: text}, and imports nothing from rawkd.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

MAX_TEXT = 120
PREFIXES = ("EXIF ", "MakerNote ", "Image ")


def main() -> int:
    """Print the tags of the file in the first argument as JSON."""
    logging.disable(logging.CRITICAL)
    import exifread

    with Path(sys.argv[1]).open("rb") as stream:
        tags = exifread.process_file(stream, details=True, extract_thumbnail=False)
    shown = {name: str(value)[:MAX_TEXT] for name, value in tags.items() if name.startswith(PREFIXES)}
    sys.stdout.write(json.dumps(shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())

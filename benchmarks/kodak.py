"""Score the Kodak24 cases from DNG to DNG: the first table of docs/accuracy.md.

    python benchmarks/kodak.py CASES [--noise true|auto] [--ensemble 1|2|4|8] [--model NAME|DIR] [--every N]

`python ../shared/bench/make_cases.py ../shared/data/testsets/Kodak24 CASES` makes CASES: noisy DNGs with known truth.
Every case goes through `rawkd.process.process_file`, and `../shared/bench/score.py` scores the DNGs. Neither script is
part of the repository; without them, `rawkd bench synthetic KODAK24` gives the same numbers to 0.01 dB. Kodak24 is a
test set: nothing is chosen by it. The search for defects is off, since the scans have specks of dust of one pixel; with
it, PSNR at the two lowest gains is 0.01 dB lower.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from script_errors import without_traceback

from rawkd.files.read.decode import Decoder
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions

SCORE = Path(__file__).resolve().parents[2] / "shared" / "bench" / "score.py"


@without_traceback
def main() -> int:
    """Denoise the cases and print the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--noise", choices=("true", "auto"), default="true")
    parser.add_argument("--ensemble", type=int, choices=(1, 2, 4, 8), default=1)
    parser.add_argument("--model")
    parser.add_argument("--every", type=int, default=1, help="only every Nth picture")
    options = parser.parse_args()
    cases = json.loads((options.cases / "cases.json").read_text())
    pictures = sorted({case["clean"] for case in cases})[:: options.every]
    cases = [case for case in cases if case["clean"] in pictures]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        decoder = Decoder()
        for case in cases:
            noise = (case["gain"], case["read_variance"]) if options.noise == "true" else None
            how = DenoiseOptions(noise=noise, ensemble=options.ensemble, model=options.model, defects="map")
            process_file(options.cases / case["dng"], out / case["dng"], ProcessOptions(how), decoder=decoder)
        return subprocess.run([sys.executable, str(SCORE), str(options.cases), str(out)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

"""Results of a benchmark with white Gaussian noise, together with published numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rawkd.evaluation.awgn_published import Published
from rawkd.evaluation.report import results_csv, results_json
from rawkd.evaluation.scoring import Results
from rawkd.files.write.atomic import atomic_output


def awgn_json(results: Results, known: Sequence[Published]) -> str:
    """The document of every benchmark, and `published`: PSNR by method, set and sigma with its source."""
    document = json.loads(results_json(results)) | {"published": [asdict(row) for row in known]}
    return json.dumps(document, indent=1, allow_nan=False)


def write_awgn(results: Results, known: Sequence[Published], folder: Path, *, overwrite: bool) -> list[Path]:
    """Write report.json and cases.csv into an existing folder.

    Raises
    ------
    OutputError: if one cannot be written.
    """
    files = {"report.json": awgn_json(results, known), "cases.csv": results_csv(results)}
    for name, text in files.items():
        with atomic_output(folder / name, overwrite) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [folder / name for name in files]

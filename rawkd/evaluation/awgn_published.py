"""Published PSNR (dB) of denoisers of additive white Gaussian noise, by set and sigma.

Source of every number: the tables of MDRN (poster, arXiv 2204.13873, NTIRE workshop of CVPR 2022), which repeat the
results of other papers. The column names of the poster's HADS table are wrong; the row of FFDNet, which is in two
tables, shows the right ones.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "MDRN, arXiv 2204.13873"
COUNTS = {"Set12": 12, "BSD68": 68, "Kodak24": 24, "CBSD68": 68, "Urban100": 100}
"""Number of pictures of each set."""
GREY = tuple((name, sigma) for name in ("Set12", "BSD68", "Urban100") for sigma in (15, 25, 50))
RGB = tuple((name, sigma) for name in ("Kodak24", "CBSD68", "Urban100") for sigma in (30, 50, 70))

_GREY = """
BM3D         32.37 29.97 26.72  31.08 28.57 25.62  32.34 29.70 25.94
RED30        32.83 30.48 27.34  31.72 29.26 26.35  32.75 30.21 26.64
TNRD         32.50 30.06 26.81  31.42 28.92 25.97  31.98 29.29 25.71
IRCNN        32.77 30.38 27.14  31.63 29.15 26.19  32.49 29.82 26.14
DnCNN        32.86 30.43 27.18  31.73 29.23 26.23  32.68 29.97 26.28
FFDNet       32.75 30.43 27.32  31.63 29.19 26.29  32.42 29.92 26.52
MLEFGN       33.04 30.66 27.54  31.81 29.34 26.39  33.21 30.64 27.22
MFENANN      32.95 30.63 27.55  31.73 29.29 26.38  -     -     -
DRNet        33.01 30.64 27.46  31.81 29.35 26.39  -     -     -
MDRN(2B)     32.87 -     27.35  31.72 -     -      -     -     -
MDRN(2B)+HADS 32.96 -    27.43  31.78 -     -      -     -     -
MDRN         33.06 30.67 27.56  31.83 29.36 26.41  33.22 30.67 27.24
MDRN+HMDS(25) -    -     27.63  -     -     26.46  -     -     27.38
MDRN+        33.10 30.71 27.60  31.86 29.39 26.44  33.31 30.78 27.31
"""
_RGB = """
CBM3D        30.89 28.63 27.27  29.73 27.38 26.00  30.36 27.94 26.31
RED30        29.71 27.62 26.36  28.46 26.35 25.08  29.02 26.40 24.74
TNRD         28.83 27.17 24.94  27.64 25.96 23.83  27.40 25.52 22.63
IRCNN        31.24 28.93 -      30.22 27.86 -      30.28 27.69 -
DnCNN        31.39 29.16 27.64  30.40 28.01 26.56  30.28 28.16 26.17
MemNet       29.67 27.65 26.40  28.39 26.33 25.08  28.93 26.53 24.93
FFDNet       31.39 29.10 27.68  30.31 27.96 26.53  30.53 28.05 26.39
MLEFGN       31.67 29.38 27.94  30.56 28.21 26.75  31.32 28.92 27.28
MDRN(2B)     31.40 -     27.69  30.38 -     -      -     -     -
MDRN(2B)+HADS 31.47 -    27.73  30.42 -     -      -     -     -
MDRN         31.68 29.40 27.96  30.57 28.23 26.77  31.35 28.96 27.32
MDRN+HMDS(50) -    -     28.00  -     -     26.81  -     -     27.45
MDRN+        31.73 29.44 28.01  30.61 28.27 26.82  31.41 29.00 27.37
"""


@dataclass(frozen=True)
class Published:
    """One published number: PSNR of a method on a set at a sigma, dB; `kind` is grey or rgb."""

    method: str
    kind: str
    dataset: str
    sigma: float
    psnr_db: float
    source: str = SOURCE


def _table(kind: str, columns: tuple[tuple[str, int], ...], text: str) -> tuple[Published, ...]:
    found = []
    for line in text.strip().splitlines():
        method, *numbers = line.split()
        for (dataset, sigma), number in zip(columns, numbers, strict=True):
            if number != "-":
                found.append(Published(method, kind, dataset, sigma, float(number)))
    return tuple(found)


PUBLISHED = _table("grey", GREY, _GREY) + _table("rgb", RGB, _RGB)


def published(kind: str, folder_name: str, pictures: int, sigmas: tuple[float, ...]) -> tuple[Published, ...]:
    """What is published for those sigmas of a set; nothing where name or number of pictures are another set's.

    Parameters
    ----------
    kind : grey | rgb. folder_name : of the set, upper or lower case. pictures : that were scored.
    """
    return tuple(
        row
        for row in PUBLISHED
        if row.kind == kind
        and row.dataset.lower() == folder_name.lower()
        and COUNTS[row.dataset] == pictures
        and row.sigma in sigmas
    )

"""Where nothing is removed, noise that cannot be found is no error."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_photos import noisy_photo

from rawkd.cli import main
from rawkd.errors import NoiseError
from rawkd.files.read.raw import read_raw
from rawkd.files.write.dng import write_dng
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import prepare


class TestNothingToRemove:
    """A photo of four blocks, without NoiseProfile and ISO: its noise cannot be found."""

    @pytest.fixture
    def tiny(self, tmp_path: Path) -> Path:
        photo = replace(noisy_photo(40, 40, iso=None), noise_profile=())
        path = tmp_path / "tiny.dng"
        write_dng(path, photo, preview=None, software="test")
        return path

    def test_noise_that_cannot_be_found_is_no_error(self, tiny: Path, tmp_path: Path) -> None:
        report = process_file(tiny, tmp_path / "out.dng", ProcessOptions(DenoiseOptions(strength=0.0)))
        assert report.record()["noise"] == {
            "gain": None,
            "read_variance": None,
            "source": "unknown",
            "confidence": 0.0,
        }
        np.testing.assert_array_equal(read_raw(tmp_path / "out.dng").frame, read_raw(tiny).frame)

    def test_the_command_says_unknown(self, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["denoise", str(tiny), "-o", str(tmp_path / "out.dng"), "--strength", "0"]) == 0
        assert "noise unknown" in capsys.readouterr().err

    def test_a_batch_says_it_too_and_goes_on(
        self, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_dng(tmp_path / "z.dng", noisy_photo(48, 64), preview=None, software="test")
        report = tmp_path / "r.csv"
        place = ["-o", str(tmp_path / "out"), "--report", str(report), "--jobs", "1"]
        assert main(["batch", str(tiny), str(tmp_path / "z.dng"), *place, "--strength", "0"]) == 0
        shown = capsys.readouterr().err
        assert f"{tiny} -> {tmp_path / 'out' / 'tiny-denoised.dng'}: noise unknown, nothing removed, " in shown
        assert "2 denoised" in shown
        with report.open(newline="") as stream:
            rows = {Path(row["input"]).name: row for row in csv.DictReader(stream)}
        assert (rows["tiny.dng"]["gain"], rows["tiny.dng"]["noise_source"]) == ("", "unknown")
        assert float(rows["z.dng"]["gain"]) > 0

    def test_a_page_shows_no_numbers_for_it(self, tiny: Path, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        assert main(["compare", str(tiny), "-o", str(page), "--strength", "0"]) == 0
        text = page.read_text()
        assert "<th>noise of the greens</th><td>unknown</td>" in text
        assert "in use: gain" not in text

    def test_to_remove_noise_it_is_one(self, tiny: Path) -> None:
        with pytest.raises(NoiseError, match="blocks"):
            prepare(read_raw(tiny), DenoiseOptions())

    def test_a_broken_calibration_file_stays_one(self, tiny: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken.json"
        broken.write_text("{}")
        with pytest.raises(NoiseError, match="broken"):
            prepare(read_raw(tiny), DenoiseOptions(strength=0.0, calibration=broken))

"""Tiles cover every picture once, change nothing by themselves, and leave no trace in the result."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import blur, make_card, make_model, unet

from rawkd.errors import InputError, ModelError
from rawkd.inference.card import ModelCard
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.halo import THRESHOLD, measure_halo
from rawkd.inference.selftest import ANCHOR, golden_input
from rawkd.inference.students import load_family
from rawkd.inference.tile_grid import TileAxis, TileGrid
from rawkd.inference.tiling import denoise_tiled
from rawkd.photo import BAYER_PHASES, CFAPattern, FloatArray, Mosaic
from rawkd.sensor.cfa import pack, unify, unpack
from rawkd.sensor.ksigma import KSigma

UNCHANGED = KSigma(np.ones(4), np.zeros(4))


@dataclass
class Fake:
    """A network in numpy; it remembers the shapes that it was given."""

    function: object = staticmethod(lambda planes: planes)
    device: str = "cpu"
    precision: str = "f32"
    streams: int = 2
    identity: str = "numpy"

    def __post_init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()

    def run(self, planes: FloatArray) -> FloatArray:
        self.shapes.add(planes.shape)
        return self.function(planes)


def tiny_card(**changes: object) -> ModelCard:
    return replace(make_card("tiny", 1e-5, 1e-2), **changes)


def random_mosaic(height: int, width: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)


@st.composite
def axes(draw: st.DrawFn) -> TileAxis:
    stride = draw(st.sampled_from([1, 2, 4, 16]))
    tile = draw(st.integers(2, 12))
    overlap = draw(st.integers(0, tile - 1))
    blend = draw(st.integers(0, overlap * stride))
    return TileAxis(draw(st.integers(1, 700)), tile * stride, overlap * stride, stride, blend, draw(st.booleans()))


@given(axes())
@settings(max_examples=400)
def test_windows_are_a_partition_of_unity(axis: TileAxis) -> None:
    total = np.zeros(axis.length)
    for span in axis.spans:
        total[span.start : span.stop] += span.weight
    # two float32 weights that were rounded once each
    np.testing.assert_allclose(total, 1, rtol=0, atol=2 * np.finfo(np.float32).eps)


@given(axes())
@settings(max_examples=400)
def test_tiles_keep_stride_order_and_halo(axis: TileAxis) -> None:
    spans = axis.spans
    padded = -(-axis.length // axis.stride) * axis.stride
    assert spans[0].origin == 0
    assert spans[-1].origin + axis.size == padded
    assert axis.size <= axis.tile
    for span in spans:
        assert span.origin % axis.stride == 0
        assert span.size == axis.size
        assert axis.size % axis.stride == 0
        assert span.origin <= span.start < span.stop <= span.origin + span.size
    for before, after in pairwise(spans):
        assert before.origin < after.origin
        assert before.origin + before.size - after.origin >= axis.overlap
    if axis.blend == 0:
        halo = axis.overlap // 2
        for before, after in pairwise(spans):
            assert after.start - after.origin >= halo
            assert before.origin + before.size - before.stop >= halo


@given(axes())
def test_even_tiles_are_no_more_than_needed(axis: TileAxis) -> None:
    uneven = replace(axis, even=False)
    assert len(axis.origins) <= len(uneven.origins)
    assert len(axis.origins) * axis.size <= len(uneven.origins) * uneven.size


@pytest.mark.parametrize("wrong", [{"length": 0}, {"tile": 30}, {"overlap": 10}, {"overlap": 32}, {"blend": 17}])
def test_impossible_axes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="cannot cover the picture"):
        replace(TileAxis(100, 32, 16, 16), **wrong)


@given(
    st.integers(1, 45), st.integers(1, 45), st.sampled_from(BAYER_PHASES), st.sampled_from([(2, 2), (8, 3), (16, 0)])
)
@settings(max_examples=60, deadline=None)
def test_identity_gives_every_picture_back(height: int, width: int, pattern: CFAPattern, size: tuple[int, int]) -> None:
    """Sizes, odd ones and 1x1 included, in all phases: bit for bit."""
    stride, halo = size
    mosaic = Mosaic(random_mosaic(height, width), pattern)
    unified, unification = unify(mosaic)
    card = tiny_card(stride=stride, halo=halo, tile=max(2 * stride, 16))
    engine = Fake()
    restored = denoise_tiled(engine, unified, UNCHANGED, card)
    np.testing.assert_array_equal(unification.undo(restored), mosaic.data)
    assert all(h % stride == 0 and w % stride == 0 for _, _, h, w in engine.shapes)
    assert len(engine.shapes) == 1


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([2, 8, 16]))
@settings(deadline=None)
def test_padding_keeps_the_phase(rows: int, columns: int, stride: int) -> None:
    """Every plane that the network sees holds its own colour alone, beyond the border too."""
    mosaic = unpack(np.broadcast_to(np.arange(4, dtype=np.float32)[:, None, None], (4, rows, columns)))
    seen: list[FloatArray] = []
    engine = Fake(lambda planes: seen.append(planes) or planes)
    denoise_tiled(engine, mosaic, UNCHANGED, tiny_card(stride=stride, halo=stride, tile=4 * stride))
    for planes in seen:
        np.testing.assert_array_equal(planes, np.broadcast_to(np.arange(4)[:, None, None], planes.shape[1:])[None])


def test_blended_identity_is_exact_to_rounding() -> None:
    mosaic = random_mosaic(190, 230)
    card = tiny_card(stride=4, halo=16, tile=32)
    assert not card.exact_tiles
    restored = denoise_tiled(Fake(), mosaic, UNCHANGED, card)
    # four products of two rounded weights each, added: a few ulp of the value
    np.testing.assert_allclose(restored, mosaic, rtol=8 * np.finfo(np.float32).eps)


def test_the_network_sees_anchored_values_and_the_result_is_signal() -> None:
    ksigma = KSigma(np.array([2.0, 4.0, 4.0, 0.5]), np.array([0.5, -0.25, -0.25, 1.0]))
    mosaic = random_mosaic(40, 52)
    seen: list[FloatArray] = []
    engine = Fake(lambda planes: seen.append(planes) or planes)
    restored = denoise_tiled(engine, mosaic, ksigma, tiny_card(tile=64))
    np.testing.assert_array_equal(seen[0][0], ksigma.apply(pack(mosaic)))
    # y = s x + o is rounded twice and undone with two more roundings; |o / s| <= 2, |x| < 5
    np.testing.assert_allclose(restored, mosaic, rtol=0, atol=4 * 7 * np.finfo(np.float32).eps)


def test_tiled_equals_untiled_within_the_halo(tmp_path: Path) -> None:
    card = make_model(tmp_path / "blur", blur, stride=2, halo=2, tile=24)
    engine = OpenVINOEngine(card, threads=1)
    mosaic = random_mosaic(2 * 61, 2 * 83)
    whole = denoise_tiled(engine, mosaic, UNCHANGED, replace(card, tile=128))
    tiled = denoise_tiled(engine, mosaic, UNCHANGED, card)
    # 18 products in each, summed in another order at another shape
    tolerance = 18 * np.finfo(np.float32).eps * float(np.abs(mosaic).max())
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=tolerance)
    too_small = denoise_tiled(engine, mosaic, UNCHANGED, replace(card, halo=1))
    assert np.abs(too_small - whole).max() > 100 * tolerance


def test_the_measured_halo_makes_tiles_exact(tmp_path: Path) -> None:
    provisional = make_model(tmp_path / "unet", unet, stride=2, halo=2, tile=32)
    engine = OpenVINOEngine(provisional, threads=1)
    halo = measure_halo(engine.run, 2, 64)
    # 3x3, pool, 3x3, upsampling, 3x3: 1 + 2 + 1 (bilinear) * 2 + 1 and the phase of the pooling
    assert 3 <= halo <= 8
    planes, deviation = golden_input(3, 96, ANCHOR)
    mosaic = unpack(planes[0])
    whole = denoise_tiled(engine, mosaic, UNCHANGED, replace(provisional, tile=128))
    tiled = denoise_tiled(engine, mosaic, UNCHANGED, replace(provisional, halo=halo))
    moved = np.abs(pack(tiled - whole)) / deviation
    # a corner is two edges at once, and another picture may ask for a little more
    assert moved.max() <= 4 * THRESHOLD
    wrong = denoise_tiled(engine, mosaic, UNCHANGED, replace(provisional, halo=0))
    assert (np.abs(pack(wrong - whole)) / deviation).max() > 10 * THRESHOLD


def test_the_halo_of_known_networks(tmp_path: Path) -> None:
    assert measure_halo(lambda planes: planes, 8, 64) == 0
    engine = OpenVINOEngine(make_model(tmp_path / "blur", blur), threads=1)
    assert measure_halo(engine.run, 4, 48) == 2
    shifted = lambda planes: np.roll(planes, 3, axis=2)  # noqa: E731
    assert measure_halo(shifted, 2, 64) >= 3
    assert measure_halo(lambda planes: planes - planes.mean(axis=(2, 3), keepdims=True), 4, 64) == 32


def test_a_flat_field_has_no_tile_structure(tmp_path: Path) -> None:
    """Where no tile edge of the picture is near, the output of a constant is one constant, tiled or not."""
    card = make_model(tmp_path / "unet", unet, stride=2, halo=8, tile=32)
    engine = OpenVINOEngine(card, threads=1)
    flat = np.full((2 * 90, 2 * 70), 0.2, np.float32)
    inner = slice(2 * 8, -2 * 8)
    planes = pack(denoise_tiled(engine, flat, UNCHANGED, card)[inner, inner])
    spread = np.ptp(planes, axis=(1, 2)).max()
    assert spread <= 50 * np.finfo(np.float32).eps
    seams = pack(denoise_tiled(engine, flat, UNCHANGED, replace(card, halo=0))[inner, inner])
    assert np.ptp(seams, axis=(1, 2)).max() > 1e-4


def test_global_pooling_fades_between_tiles_of_one_size(tmp_path: Path) -> None:
    """Neighbouring tiles disagree everywhere; the fade leaves no step larger than the ramp's share of it."""
    card = make_model(tmp_path / "pooled", lambda path: unet(path, pooled=True), stride=2, halo=16, tile=32)
    engine = OpenVINOEngine(card, threads=1)
    assert measure_halo(engine.run, 2, 32) == 16
    grid = TileGrid.of(90, 70, card)
    assert {span.size for spans in grid for span in spans} == {32}
    level = lambda planes: planes + planes.mean(dtype=np.float32)  # noqa: E731
    ramp = np.repeat(np.linspace(0, 1, 180, dtype=np.float32)[:, None], 140, axis=1)
    faded = denoise_tiled(Fake(level), ramp, UNCHANGED, card)
    cut = denoise_tiled(Fake(level), ramp, UNCHANGED, replace(card, halo=2))
    # tiles lie 15 rows of 2/179 apart and fade over them: a step is the ramp's own and as much again
    assert np.abs(np.diff(faded, axis=0)).max() < 4 / 179
    assert np.abs(np.diff(cut, axis=0)).max() > 20 / 179


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 5), st.integers(0, 40))
@settings(max_examples=100)
def test_no_square_tile_costs_less(height: int, width: int, stride: int, halo: int) -> None:
    """A tile has at most the pixels of the card's square, and the shape that costs least."""
    tile = -(-(2 * halo + 40) // stride) * stride
    card = tiny_card(stride=stride, halo=halo, tile=tile)
    grid = TileGrid.of(height, width, card)
    assert grid.rows.size * grid.columns.size <= tile**2
    overlap = -(-2 * halo // stride) * stride
    square = TileGrid(*(TileAxis(length, tile, overlap, stride) for length in (height, width)))
    assert grid.cost <= square.cost


def test_an_odd_number_of_tiles_costs_one_more() -> None:
    """24 MP in nine tiles take as long on two cores as in ten; ten of fewer pixels each are faster."""
    card = tiny_card(stride=16, halo=48, tile=896)
    grid = TileGrid.of(2000, 3000, card)
    nine = TileGrid(TileAxis(2000, 736, 96, 16), TileAxis(3000, 1072, 96, 16))
    assert (len(nine), len(grid)) == (9, 10)
    assert nine.pixels < grid.pixels < nine.cost == 10 * 736 * 1072
    assert grid.cost == grid.pixels
    assert TileGrid.of(500, 700, card).cost == TileGrid.of(500, 700, card).pixels == 512 * 704


def test_progress_counts_every_tile() -> None:
    told: list[tuple[int, int]] = []
    card = tiny_card(stride=2, halo=2, tile=16)
    mosaic = random_mosaic(100, 60)
    denoise_tiled(Fake(), mosaic, UNCHANGED, card, lambda done, total: told.append((done, total)))
    count = len(TileGrid.of(50, 30, card))
    assert count > 4
    assert told == [(i + 1, count) for i in range(count)]


def test_the_input_is_kept_and_no_more_tiles_run_than_streams() -> None:
    lock, running, most = threading.Lock(), 0, 0

    def slow(planes: FloatArray) -> FloatArray:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.002)
        with lock:
            running -= 1
        return planes * 2

    mosaic = random_mosaic(100, 60)
    before = mosaic.copy()
    restored = denoise_tiled(Fake(slow), mosaic, UNCHANGED, tiny_card(tile=16))
    np.testing.assert_array_equal(mosaic, before)
    np.testing.assert_array_equal(restored, 2 * before)
    assert most == 2


def test_a_failing_tile_stops_the_rest() -> None:
    calls: list[int] = []

    def fail(planes: FloatArray) -> FloatArray:
        calls.append(1)
        raise ModelError("no")

    with pytest.raises(ModelError, match="no"):
        denoise_tiled(Fake(fail), random_mosaic(200, 200), UNCHANGED, tiny_card(tile=16))
    assert len(calls) <= 4


@pytest.mark.parametrize("shape", [(0, 2), (3, 4), (4, 3), (2, 2, 2)])
def test_only_even_mosaics_are_cut(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="multiples of 2"):
        denoise_tiled(Fake(), np.zeros(shape, np.float32), UNCHANGED, tiny_card())
    with pytest.raises(InputError, match="float64"):
        denoise_tiled(Fake(), np.zeros((4, 4)), UNCHANGED, tiny_card())  # type: ignore[arg-type]


@given(height=st.integers(1, 90), width=st.integers(1, 90), smaller=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_tiles_of_a_larger_picture_serve_a_smaller_one(height: int, width: int, smaller: int) -> None:
    """So that the second look at a photo compiles no second shape; the answer is that of the whole picture."""
    card, engine = tiny_card(halo=2, tile=16, stride=2), Fake(mean_of_neighbours)
    mosaic = random_mosaic(2 * -(-height // smaller), 2 * -(-width // smaller))
    restored = denoise_tiled(engine, mosaic, UNCHANGED, card, large=(2 * height, 2 * width))
    whole = unpack(mean_of_neighbours(pack(mosaic)[None])[0])
    np.testing.assert_allclose(restored[4:-4, 4:-4], whole[4:-4, 4:-4], atol=1e-6)  # the border is padded farther out
    grid = TileGrid.of(height, width, card)
    if len(grid) > 1:
        assert engine.shapes == {(1, 4, grid.rows.size, grid.columns.size)}


def mean_of_neighbours(planes: FloatArray) -> FloatArray:
    """A network that sees two packed pixels around each."""
    wide = np.pad(planes, ((0, 0), (0, 0), (2, 2), (2, 2)))
    height, width = planes.shape[2:]
    return sum(wide[..., y : y + height, x : x + width] for y in range(5) for x in range(5)) / np.float32(25)


@pytest.mark.parametrize("tier", ["fast", "balanced", "best"])
@pytest.mark.parametrize("shape", [(120, 6000), (6000, 64), (288, 18000), (4000, 6000)])
def test_every_photo_has_a_grid_for_its_small_photo(tier: str, shape: tuple[int, int]) -> None:
    (card, *_), (height, width) = load_family(tier), shape
    small = TileGrid.of(height // 2, width // 2, card).tiles_for(height // 8, width // 8)
    covered = sum((row.stop - row.start) * (column.stop - column.start) for row, column in small)
    assert covered == (height // 8) * (width // 8)


def test_a_larger_picture_of_one_tile_gives_no_shape() -> None:
    card, engine = tiny_card(halo=2, tile=16, stride=2), Fake()
    denoise_tiled(engine, random_mosaic(8, 8), UNCHANGED, card, large=(32, 32))
    assert engine.shapes == {(1, 4, 4, 4)}

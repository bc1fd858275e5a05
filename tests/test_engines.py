"""Engines compute what the network says, prove it once per machine, and talk to nobody."""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_models import ANCHOR, BLUR, Graph, blur, card_document, identity, make_model, unet, write_card

from rawkd.errors import MemoryLimitError, ModelError, RawkdError, UsageError
from rawkd.inference import engines as engine_module
from rawkd.inference import openvino_library, selftest
from rawkd.inference.card import COST_LIMIT_DB, ModelCard
from rawkd.inference.cpu import openvino_engine
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.cpu.precisions import bf16_is_faster, has_bf16
from rawkd.inference.cpu.shapes import SHAPES
from rawkd.inference.engines import Engines, gpu_in_sight
from rawkd.inference.gpu import ways
from rawkd.inference.selftest import check_golden, golden_input, make_golden
from rawkd.inference.weights import WEIGHTS, sha256_of
from rawkd.photo import FloatArray
from rawkd.sensor.ksigma import Anchor
from rawkd.user_folders import cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's own record of self-tests."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(selftest, "cache_folder", lambda: folder)
    return folder


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    return make_model(tmp_path / "unet", unet)


def random_planes(*shape: int) -> FloatArray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def blurred(planes: FloatArray) -> FloatArray:
    """Two binomial blurs by hand, zeros beyond the border."""
    for _ in range(2):
        padded = np.pad(planes.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
        h, w = planes.shape[2:]
        planes = sum(BLUR[r, c] * padded[:, :, r : r + h, c : c + w] for r in range(3) for c in range(3))
    return planes


def test_openvino_computes_the_network(tmp_path: Path) -> None:
    engine = OpenVINOEngine(make_model(tmp_path / "blur", blur), threads=1)
    for shape in ((1, 4, 16, 24), (1, 4, 10, 6), (1, 4, 16, 24)):
        planes = random_planes(*shape)
        restored = engine.run(planes)
        assert restored.dtype == np.float32
        np.testing.assert_allclose(restored, blurred(planes), rtol=0, atol=20 * np.finfo(np.float32).eps)


def test_a_batch_is_its_parts(tmp_path: Path) -> None:
    engine = OpenVINOEngine(make_model(tmp_path / "same", identity), threads=1)
    planes = random_planes(3, 4, 8, 8)
    np.testing.assert_array_equal(engine.run(planes), planes)


def test_results_outlive_the_next_run_and_many_threads_may_run(card: ModelCard) -> None:
    engine = OpenVINOEngine(card, threads=2)
    assert engine.streams == 2
    inputs = [random_planes(1, 4, 32, 32) * (i + 1) for i in range(12)]
    alone = [engine.run(planes) for planes in inputs]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(engine.run, inputs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_many_sizes_do_not_fill_the_memory_nor_change_results(card: ModelCard) -> None:
    engine = OpenVINOEngine(card, threads=2)
    inputs = [random_planes(1, 4, 16, 16 + 2 * extra) for extra in range(SHAPES + 3)]
    alone = [engine.run(planes) for planes in inputs]
    assert len(engine._shapes) == SHAPES
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(engine.run, inputs * 3))
    assert SHAPES <= len(engine._shapes) <= 6  # those that a thread runs are kept beyond
    for one, other in zip(alone * 3, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_shape_in_use_stays_compiled(card: ModelCard) -> None:
    engine = OpenVINOEngine(card, threads=2)
    busy, *others = [(1, 4, 16, 16 + 2 * extra) for extra in range(SHAPES + 2)]
    engine.run(random_planes(*busy))
    idle = engine._compiled(busy)
    request = idle.get()  # as another photo's tile would
    for shape in others:
        engine.run(random_planes(*shape))
    assert (engine._mark, busy) in engine._shapes
    assert engine._compiled(busy) is idle
    idle.put(request)
    for shape in others:
        engine.run(random_planes(*shape))
    assert (engine._mark, busy) not in engine._shapes


def test_all_networks_of_a_run_share_the_limit(card: ModelCard, tmp_path: Path) -> None:
    """Four students of a tier, each with shapes of its own, would fill the memory of a batch of many ISOs."""
    engines = Engines()
    cards = [card, *(make_model(tmp_path / str(number), blur) for number in range(SHAPES))]
    planes = random_planes(1, 4, 16, 16)
    for one in cards:
        engines.load(one, device="cpu", threads=1)[0].run(planes)
    assert len(engines._shapes) == SHAPES


def test_a_shape_that_compiles_holds_up_no_other(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, begun, done = OpenVINOEngine(card, threads=2), Event(), Event()
    original = engine._compile

    def slow(shape: tuple[int, ...]) -> object:
        if shape[3] == 24:
            begun.set()
            assert done.wait(60), "the other shape waited"
        return original(shape)

    monkeypatch.setattr(engine, "_compile", slow)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(engine.compile, (1, 4, 16, 24))
        assert begun.wait(60)
        engine.run(random_planes(1, 4, 16, 16))
        done.set()
        ahead.result()


def test_a_shape_that_did_not_compile_is_tried_again(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, shape = OpenVINOEngine(card, threads=1), (1, 4, 16, 16)

    def broken(_: tuple[int, ...]) -> None:
        raise ModelError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_compile", broken)
        with pytest.raises(ModelError, match="no memory"):
            engine.compile(shape)
    assert len(engine._shapes) == 0
    assert engine.run(random_planes(*shape)).shape == shape


def test_altered_weights_never_run(card: ModelCard) -> None:
    network = card.directory / "network.onnx"
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    network.write_bytes(data)
    with pytest.raises(ModelError, match="its sha256 differs"):
        Engines().load(card, device="cpu")


def test_broken_networks_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "network.onnx").write_bytes(b"no network")
    card = write_card(folder, card_document(files={"network.onnx": sha256_of(b"no network")}))
    with pytest.raises(ModelError, match=r"network.onnx does not compile"):
        Engines().load(card, device="cpu")


def test_a_network_that_changes_the_shape_is_no_denoiser(tmp_path: Path) -> None:
    def halve(path: Path) -> None:
        graph = Graph()
        graph.save(path, graph.node("MaxPool", "planes", kernel_shape=[2, 2], strides=[2, 2]))

    with pytest.raises(ModelError, match=r"returned shape .*, expected .* does not match its card"):
        make_model(tmp_path / "half", halve)


def test_precision_is_what_the_card_allows(card: ModelCard) -> None:
    assert OpenVINOEngine(card).precision == "f32"
    cheap = replace(card, bf16_cost_db={"1e-3": 0.001})
    assert OpenVINOEngine(cheap).precision == ("bf16" if bf16_is_faster() else "f32")
    assert OpenVINOEngine(cheap, precision="f32").precision == "f32"
    assert OpenVINOEngine(replace(card, bf16_cost_db={"1e-3": COST_LIMIT_DB})).precision == "f32"
    dear, kept = replace(card, bf16_cost_db={"1e-4": 0.001, "1e-3": 0.001, "1e-2": 0.1}), Engines()
    engines = [kept.load(dear, device="cpu", threads=1, gain=gain)[0] for gain in (2e-4, 2e-3, 3e-4)]
    assert [engine.precision for engine in engines] == [
        "bf16" if bf16_is_faster() else "f32",
        "f32",
        engines[0].precision,
    ]
    assert engines[0] is engines[2]
    with pytest.raises(UsageError, match=r"f32, bf16, int8, int8\+bf16 or int7, not fp16"):
        OpenVINOEngine(card, precision="fp16")
    with pytest.raises(UsageError, match="0 threads"):
        OpenVINOEngine(card, threads=0)


@pytest.mark.parametrize("pays", [False, True])
def test_one_engine_for_one_precision(card: ModelCard, monkeypatch: pytest.MonkeyPatch, pays: bool) -> None:
    """Two gains of which the card allows bf16 at one only: where bf16 does not pay, both run in one f32 engine."""
    monkeypatch.setattr(openvino_engine, "bf16_is_faster", lambda: pays)
    monkeypatch.setattr(engine_module, "self_test", lambda *_: None)  # this CPU may lack the bf16 that the test claims
    card = replace(card, bf16_cost_db={"1e-4": 0.001, "1e-3": 0.001, "1e-2": 0.1})
    engines = Engines()
    quiet, noisy, asked = (
        engines.load(card, device="cpu", gain=gain, precision=precision)[0]
        for gain, precision in ((2e-4, None), (2e-3, None), (2e-4, "f32"))
    )
    assert quiet.precision == ("bf16" if pays else "f32")
    assert noisy is asked
    assert (quiet is noisy) != pays
    assert engines.load(card, device="cpu", threads=1, gain=2e-3)[0] is not noisy


def test_a_gpu_that_failed_is_not_tried_again(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def broken(way: ways.Way, *_: object) -> None:
        tries.append(way.name)
        raise OSError("no driver")

    monkeypatch.setattr(engine_module, "gpu_in_sight", lambda: "cuda")
    monkeypatch.setattr(engine_module, "ways_to", lambda _: (ways.Way("a fake GPU", "cuda", "numpy"),))
    monkeypatch.setattr(engine_module, "_plan", broken)
    engines = Engines()
    loaded = [engines.load(card, threads=1, gain=gain) for gain in (1e-3, 2e-3)]
    assert tries == ["a fake GPU"]
    assert loaded[0] == loaded[1]
    assert loaded[0][1] == ("the GPU is not used: no driver",)


def test_a_model_does_not_wait_for_another(
    card: ModelCard, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong student that loads ahead must not hold up the right one; each is loaded once, and both are recorded."""
    other = make_model(tmp_path / "blur", blur)
    begun, done = Event(), Event()
    tested: list[str] = []
    original = check_golden

    def check(checked: ModelCard, engine: OpenVINOEngine) -> float:
        tested.append(checked.name)
        if checked.name == "blur":
            begun.set()
            assert done.wait(60), "the other model waited"
        return original(checked, engine)

    monkeypatch.setattr(selftest, "check_golden", check)
    engines = Engines()
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(engines.load, other, device="cpu", threads=1) for _ in range(2)]
        assert begun.wait(60)
        engines.load(card, device="cpu", threads=1)
        done.set()
        assert slow[0].result()[0] is slow[1].result()[0]
    assert tested == ["blur", "unet"]
    assert len(json.loads((cache / "selftest.json").read_text())) == 2


def test_the_devices_are_known_without_heavy_imports() -> None:
    script = """
import sys
from rawkd.inference.engines import DEVICES
print(*DEVICES)
print(*[name for name in ("torch", "openvino", "onnxruntime", "scipy", "rawpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["auto cpu gpu cuda mps", ""]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_signal_is_handled_after_another_thread_released_the_network(card: ModelCard, cache: Path) -> None:
    """Its thread would keep a freed signal stack: see `openvino_core`."""
    code = f"""
import faulthandler, mmap, os, signal
from pathlib import Path
from threading import Thread
import numpy as np
from rawkd.inference.card_file import read_card
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine

faulthandler.enable()  # without a signal stack of the main thread there is none to lose
engines = [OpenVINOEngine(read_card(Path({str(card.directory)!r})), threads=1)]
engines[0].run(np.zeros((1, 4, 32, 32), np.float32))
releasing = Thread(target=engines.clear)
releasing.start()
releasing.join()
where_it_was = [mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ) for _ in range(256)]
signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
os.kill(os.getpid(), signal.SIGUSR1)
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


def test_threads_that_come_first_together_share_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second core would be released with its network."""
    made: list[object] = []
    together = Barrier(4)

    class Core:
        def __init__(self) -> None:
            made.append(self)
            time.sleep(0.05)

    def first(_: int) -> object:
        together.wait()
        return openvino_library.openvino_core()

    monkeypatch.setattr(openvino_library, "_core", functools.cache(Core))
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(first, range(4)))) == len(made) == 1


def test_bf16_keeps_the_residual_sum_in_f32(card: ModelCard) -> None:
    """The input reaches the output unrounded: only what is removed has bf16's 8 bits."""
    if not has_bf16():
        pytest.skip("this CPU has no bf16")
    planes, _ = golden_input(5, 64, Anchor(**ANCHOR))
    exact = OpenVINOEngine(card, threads=1, precision="f32").run(planes)
    rounded = OpenVINOEngine(card, threads=1, precision="bf16").run(planes)
    difference = np.abs(rounded - exact)
    assert difference.max() > 0
    # a few roundings of 2**-9 each, through three layers, of a residual; rounding the sum would cost 2**-9 of the sum
    assert difference.max() < 8 * 2.0**-9 * np.abs(exact - planes).max()


def test_golden_input_is_the_same_on_every_machine() -> None:
    planes, deviation = golden_input(1, 64, Anchor(**ANCHOR))
    assert planes.shape == (1, 4, 64, 64)
    np.testing.assert_allclose(planes[0, :, 31, 17], GOLDEN_SAMPLES, rtol=1e-6)
    noise = (golden_input(2, 64, Anchor(**ANCHOR))[0][0] - planes[0]) / deviation
    # 16384 differences of two unit deviates: mean 0 +- sqrt(2 / n), variance 2 +- 2 sqrt(2 / n), five sigma
    assert abs(noise.mean()) < 5 * np.sqrt(2 / noise.size)
    assert abs(noise.var() - 2) < 10 * np.sqrt(2 / noise.size)


GOLDEN_SAMPLES = [0.1753457337617874, 0.3253697752952575, 0.3419553935527801, 0.2641364634037018]


def test_the_right_network_passes_its_golden(card: ModelCard) -> None:
    # the same arithmetic on the same device
    assert check_golden(card, OpenVINOEngine(card, threads=1)) < 1e-6
    assert len(json.dumps(make_golden(lambda planes: planes, 16))) < 4000


def test_a_wrong_device_fails_its_golden(card: ModelCard) -> None:
    engine = OpenVINOEngine(card, threads=1)

    class Wrong:
        device, precision, streams, identity = "cpu", "f32", 1, "a broken device"

        def __init__(self, error: float) -> None:
            self.error = error

        def run(self, planes: FloatArray) -> FloatArray:
            return engine.run(planes) + np.float32(self.error)

    with pytest.raises(ModelError, match="computes wrongly on a broken device"):
        check_golden(card, Wrong(1e-3))
    with pytest.raises(ModelError, match="computes wrongly"):
        check_golden(card, Wrong(np.nan))
    assert 0 < check_golden(card, Wrong(1e-5)) < 2e-3


@pytest.mark.parametrize("residual", ["%%%", base64.b64encode(b"12").decode()])
def test_a_damaged_golden_is_said(card: ModelCard, residual: str) -> None:
    damaged = replace(card, golden=replace(card.golden, residual=residual))
    with pytest.raises(ModelError, match="golden output is damaged"):
        check_golden(damaged, OpenVINOEngine(card, threads=1))


def test_the_self_test_runs_once_per_model(
    card: ModelCard, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested: list[str] = []
    original = check_golden
    monkeypatch.setattr(selftest, "check_golden", lambda c, e: tested.append(c.name) or original(c, e))
    for _ in range(3):
        Engines().load(card, device="cpu")
    assert tested == ["unet"]
    Engines().load(make_model(tmp_path / "blur", blur), device="cpu")
    Engines().load(card, device="cpu", threads=1)
    assert tested == ["unet", "blur"]
    (cache / "selftest.json").write_text("{damaged")
    Engines().load(card, device="cpu")
    assert tested == ["unet", "blur", "unet"]
    wrong = replace(card, golden=replace(card.golden, seed=7))
    for _ in range(2):
        with pytest.raises(ModelError, match="computes wrongly"):
            Engines().load(wrong, device="cpu")
    assert len(tested) == 5


def test_another_version_of_rawkd_repeats_the_self_test(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version may rewrite the network in another way before the same engine compiles it."""
    tested: list[str] = []
    original = check_golden
    monkeypatch.setattr(selftest, "check_golden", lambda c, e: tested.append(e.identity) or original(c, e))
    for version, number in (("1", 1), ("1", 1), ("2", 2), ("2", 2), ("1", 2)):
        monkeypatch.setattr(openvino_engine, "_version", lambda version=version: version)
        Engines().load(card, device="cpu", threads=1)
        assert len(tested) == number
    assert len(set(tested)) == 1


def test_a_cache_that_cannot_be_written_is_no_error(card: ModelCard, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    engine, warnings = Engines().load(card, device="cpu", threads=1)
    assert (engine.device, warnings) == ("cpu", ())


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_has_no_cache(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "cache_folder", cache_folder)
    assert selftest.cache_folder() is None
    engine, warnings = Engines().load(card, device="cpu", threads=1)
    assert (engine.device, warnings) == ("cpu", ())


def test_devices_and_inputs_that_do_not_exist(card: ModelCard) -> None:
    with pytest.raises(UsageError, match="choose one of auto, cpu, gpu, cuda, mps"):
        Engines().load(card, device="npu")
    with pytest.raises(ModelError, match=r"needs planes\+variance"):
        Engines().load(replace(card, input="planes+variance"), device="cpu")


def test_auto_imports_torch_only_in_sight_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "find_spec", lambda _: None)
    assert gpu_in_sight() is None
    monkeypatch.setattr(ways, "find_spec", lambda _: True)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidiactl")
    assert gpu_in_sight() == "cuda"
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert gpu_in_sight() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ways.platform, "machine", lambda: "arm64")
    assert gpu_in_sight() == "mps"
    monkeypatch.setattr(ways.platform, "machine", lambda: "x86_64")
    assert gpu_in_sight() is None


def test_a_gpu_that_fails_is_a_warning_or_the_users_error(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ModelError("it computes wrongly")

    monkeypatch.setattr(engine_module, "gpu_in_sight", lambda: "cuda")
    monkeypatch.setattr(Engines, "_on_gpu", broken)
    engine, warnings = Engines().load(card, threads=1)
    assert engine.device == "cpu"
    assert warnings == ("the GPU is not used: it computes wrongly",)
    with pytest.raises(ModelError, match="it computes wrongly"):
        Engines().load(card, device="cuda")


@pytest.mark.parametrize("error", [MemoryLimitError("it is full"), OSError("libcudart.so"), RuntimeError("no driver")])
def test_a_gpu_may_fail_in_any_way(card: ModelCard, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(engine_module, "gpu_in_sight", lambda: "cuda")
    monkeypatch.setattr(Engines, "_on_gpu", broken)
    engine, warnings = Engines().load(card, threads=1)
    assert (engine.device, warnings) == ("cpu", (f"the GPU is not used: {error}",))
    with pytest.raises(RawkdError, match=str(error)):
        Engines().load(card, device="cuda")


def test_cuda_without_torch_names_the_extra(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"pip install 'rawkd\[torch\]'"):
        Engines().load(card, device="cuda")


QUIET = """
import json, sys
events = []
sys.addaudithook(lambda name, _: events.append(name))
from pathlib import Path
from rawkd.inference.card_file import read_card
from rawkd.inference.engines import Engines
import numpy as np
engine, _ = Engines().load(read_card(Path(sys.argv[1])))
engine.run(np.zeros((1, 4, 8, 8), np.float32))
spawned = ("os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "subprocess.Popen")
heard = [name for name in events if name in spawned or name in ("socket.connect", "socket.getaddrinfo")]
loaded = [name for name in ("torch", "onnxruntime", "openvino_telemetry", "openvino.tools.ovc") if name in sys.modules]
print(json.dumps([heard, loaded]))
"""


def test_a_cpu_run_talks_to_nobody_and_needs_no_torch(card: ModelCard, tmp_path: Path) -> None:
    """`import openvino` alone would report to a web service from a child process and leave its files at home."""
    if gpu_in_sight():
        pytest.skip("auto takes the GPU here")
    home = tmp_path / "home"
    home.mkdir()
    quiet = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    quiet |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "LOCALAPPDATA": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", QUIET, str(card.directory)], env=quiet, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], []]
    assert [path.name for path in home.iterdir()] == ["cache"]


class TestTorch:
    """The torch engine, on the CPU where there is no GPU."""

    @pytest.fixture
    def torch_card(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
        """The blur as ONNX and as a torch module with its weights."""
        torch = pytest.importorskip("torch")
        import rawkd.networks

        class Blur(torch.nn.Module):
            def __init__(self, kernel: int) -> None:
                super().__init__()
                self.conv = torch.nn.Conv2d(4, 4, kernel, padding=1, groups=4, bias=False)

            def forward(self, x):
                return self.conv(self.conv(x))

        monkeypatch.setattr(rawkd.networks, "build_network", lambda _, config: Blur(**config))
        card = make_model(tmp_path / "blur", blur)
        weight = np.ascontiguousarray(np.broadcast_to(BLUR, (4, 1, 3, 3)).astype(np.float32))
        save_file({"conv.weight": weight}, card.directory / WEIGHTS)
        document = json.loads((card.directory / "card.json").read_text())
        document |= {"network": "blur", "config": {"kernel": 3}}
        document["files"][WEIGHTS] = sha256_of((card.directory / WEIGHTS).read_bytes())
        return write_card(card.directory, document)

    def test_torch_agrees_with_openvino(self, torch_card: ModelCard) -> None:
        from rawkd.inference.torch_engine import load_torch_engine

        engine = load_torch_engine(torch_card, "cpu")
        assert (engine.device, engine.precision) == ("cpu", "f32")
        planes = random_planes(1, 4, 16, 24)
        restored = engine.run(planes)
        assert restored.dtype == np.float32
        expected = OpenVINOEngine(torch_card, threads=1).run(planes)
        np.testing.assert_allclose(restored, expected, rtol=0, atol=20 * np.finfo(np.float32).eps)
        assert check_golden(torch_card, engine) < 1e-3

    def test_reduced_precision_is_autocast(self, torch_card: ModelCard) -> None:
        from rawkd.inference.torch_engine import load_torch_engine

        planes = random_planes(1, 4, 16, 24)
        exact = load_torch_engine(torch_card, "cpu", "f32").run(planes)
        rounded = load_torch_engine(torch_card, "cpu", "bf16").run(planes)
        assert 0 < np.abs(rounded - exact).max() < 4 * 2.0**-8
        with pytest.raises(UsageError, match="bf16 or fp16"):
            load_torch_engine(torch_card, "cpu", "int8")

    def test_a_network_runs_with_cudnn_in_full_float32(self) -> None:
        import torch

        from rawkd.inference.torch_engine import TorchEngine

        seen = []

        class Probe(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                seen.append((torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32))
                return x

        TorchEngine(Probe(), "cpu").run(random_planes(1, 4, 16, 24))
        assert seen == [(True, False)]

    def test_threads_keep_full_float32(self) -> None:
        """The first run, which restores torch's settings at its end, must not end during the second."""
        import torch

        from rawkd.inference.torch_engine import TorchEngine

        second_runs, first_is_done = Event(), Event()
        seen = []

        class Probe(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                if x.shape[0] == 1:
                    second_runs.wait(0.3)
                else:
                    second_runs.set()
                    first_is_done.wait(3)
                    seen.append(torch.backends.cudnn.allow_tf32)
                return x

        engine = TorchEngine(Probe(), "cpu")
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=True), ThreadPoolExecutor(2) as pool:
            first = pool.submit(engine.run, random_planes(1, 4, 8, 8))
            first.add_done_callback(lambda _: first_is_done.set())
            pool.submit(engine.run, random_planes(2, 4, 8, 8)).result()
        assert seen == [False]

    def test_what_does_not_fit_is_said(self, torch_card: ModelCard) -> None:
        import torch

        from rawkd.inference.torch_engine import load_torch_engine

        for config in ({"kernel": 5}, {"colour": 3}):
            with pytest.raises(ModelError, match="do not fit the network blur"):
                load_torch_engine(replace(torch_card, config=config), "cpu")
        if not torch.cuda.is_available():
            with pytest.raises(ModelError, match="finds no cuda device here"):
                Engines().load(torch_card, device="cuda")

    def test_a_gpu_gives_what_the_cpu_gives(self, torch_card: ModelCard) -> None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no GPU")
        engine, _ = Engines().load(torch_card, device="cuda")
        planes = random_planes(1, 4, 64, 48)
        np.testing.assert_allclose(engine.run(planes), blurred(planes), rtol=0, atol=1e-5)

"""GPUs without one: ONNX Runtime and OpenVINO on the CPU in a GPU's place, and fake devices that fail at each stage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_photos import GAIN, READ_VARIANCE, noisy_photo
from small_shoots import left_over, outputs, read_report, write_photo, write_shoot
from tiny_models import blur, even_blur, make_model, unet

from rawkd.batch.cluster import fixed_for_cluster
from rawkd.batch.settings import BatchOptions
from rawkd.cli import main
from rawkd.errors import CancelledError, MemoryLimitError, ModelError, RawkdError, UsageError
from rawkd.inference import engines as engine_module
from rawkd.inference import selftest
from rawkd.inference.card import ModelCard
from rawkd.inference.card_file import read_card
from rawkd.inference.cpu import openvino_engine
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.engine import ON_CPU, OTHER_DEVICE, Engine, reason_of
from rawkd.inference.engines import Engines
from rawkd.inference.gpu import onnx_engine, openvino_gpu, ways
from rawkd.inference.gpu.compiled import SHAPES, CompiledEngine, checked
from rawkd.inference.gpu.onnx_engine import load_onnx_engine, with_weights
from rawkd.inference.gpu.openvino_gpu import load_openvino_gpu_engine
from rawkd.inference.gpu.ways import CUDA, WAYS, Way, gpu_in_sight, ways_to
from rawkd.inference.graph.cells import CONVOLUTIONS
from rawkd.inference.openvino_library import import_openvino, openvino_core
from rawkd.inference.selftest import check_golden
from rawkd.inference.weights import NETWORK, load_weights, models_directory, verified_bytes
from rawkd.photo import FloatArray
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.context import Context
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import denoise

CPU = "CPUExecutionProvider"
FAKE = Way("a fake GPU", "gpu", "numpy")
"""A way whose library is always installed; `fake_gpu` says what it does."""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "cache_folder", lambda: tmp_path / "cache")


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    return make_model(tmp_path / "unet", unet)


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """A folder with one student: a blur with small tiles, so that a photo has many."""
    make_model(tmp_path / "models" / "blur", even_blur, subrange=[1e-5, 1e-1], tile=32)
    return tmp_path / "models"


class FakeGPU:
    """A device that computes as the CPU does until its given tile, which `fail` answers in the device's place.

    Attributes
    ----------
    tiles : number of calls so far; the first one is the self-test.
    """

    device, precision, streams, identity = "gpu", "f32", 2, "a fake GPU"

    def __init__(self, card: ModelCard, failing: int, fail: Callable[[FloatArray], FloatArray]) -> None:
        self._cpu = OpenVINOEngine(card, threads=1, precision="f32")
        self._failing, self._fail, self.tiles = failing, fail, 0

    def run(self, planes: FloatArray) -> FloatArray:
        self.tiles += 1
        return self._fail(planes) if self.tiles >= self._failing else self._cpu.run(planes)


def raising(error: Exception) -> Callable[[FloatArray], FloatArray]:
    def fail(_planes: FloatArray) -> FloatArray:
        raise error

    return fail


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[FakeGPU]]:
    """Make `gpu`, and what `auto` sees, a fake device; returns the list of those that were started."""

    def install(failing: int, fail: Callable[[FloatArray], FloatArray]) -> list[FakeGPU]:
        started: list[FakeGPU] = []

        def plan(way: Way, card: ModelCard, *_: object) -> tuple[str, Callable[[], Engine]]:
            assert way is FAKE

            def start() -> Engine:
                started.append(FakeGPU(card, failing, fail))
                return started[-1]

            return "f32", start

        monkeypatch.setattr(engine_module, "ways_to", lambda _device: (FAKE,))
        monkeypatch.setattr(engine_module, "gpu_in_sight", lambda: "gpu")
        monkeypatch.setattr(engine_module, "_plan", plan)
        return started

    return install


def options_of(family: Path, **changes: object) -> DenoiseOptions:
    options = DenoiseOptions(model=family, noise=(GAIN, READ_VARIANCE), device="gpu", threads=1, precision="f32")
    return replace(options, **changes)


def no_gpu_here() -> None:
    """Skip a test that needs a machine without GPU."""
    try:
        load_openvino_gpu_engine(read_card(models_directory() / "fanet-fast-0"), "f32")
    except ModelError:
        if gpu_in_sight() is None:
            return
    pytest.skip("this machine has a GPU")


@pytest.mark.filterwarnings("ignore:Duplicate provider")
class TestOnnxRuntime:
    """ONNX Runtime with its CPU provider; a GPU's provider differs by its name and options."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

    def test_it_computes_the_network(self, tmp_path: Path) -> None:
        card = make_model(tmp_path / "blur", blur)
        engine = load_onnx_engine(card, CPU, "gpu")
        assert (engine.device, engine.precision) == ("gpu", "f32")
        for shape in ((1, 4, 16, 24), (1, 4, 10, 6), (1, 4, 16, 24)):
            planes = np.random.default_rng(0).random(shape).astype(np.float32)
            restored = engine.run(planes)
            assert restored.dtype == np.float32
            expected = OpenVINOEngine(card, threads=1, precision="f32").run(planes)
            # nine products of values below 1, twice, in another order
            np.testing.assert_allclose(restored, expected, rtol=0, atol=20 * np.finfo(np.float32).eps)

    def test_many_threads_get_their_own_results(self, card: ModelCard) -> None:
        engine = load_onnx_engine(card, CPU, "gpu")
        inputs = [np.full((1, 4, 16, 16 + 2 * (i % (SHAPES + 2))), i / 20, np.float32) for i in range(20)]
        alone = [engine.run(planes) for planes in inputs]
        assert len(engine._compiled) == SHAPES
        with ThreadPoolExecutor(5) as pool:
            together = list(pool.map(engine.run, inputs))
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("name", ["fanet-fast-0", "teacher-fanet"])
    def test_shipped_models_pass_their_self_test(self, name: str) -> None:
        """The teacher's weights are shards, which become constants of its graph."""
        shipped = read_card(models_directory() / name)
        assert check_golden(shipped, load_onnx_engine(shipped, CPU, "gpu")) < 1e-3

    def test_weights_become_constants(self) -> None:
        """Core ML and DirectML convert only constants, and an initializer that is also an input is none."""
        import onnx

        shipped = read_card(models_directory() / "teacher-fanet")
        weights = load_weights(shipped)
        graph = onnx.load_from_string(with_weights(verified_bytes(shipped, NETWORK), weights)).graph
        assert [entry.name for entry in graph.input] == ["planes"]
        assert {entry.name for entry in graph.initializer} == set(weights)

    def test_a_missing_weight_is_named(self) -> None:
        shipped = read_card(models_directory() / "teacher-fanet")
        weights = load_weights(shipped)
        del weights["stem.bias"]
        with pytest.raises(ModelError, match=r"needs the tensor stem\.bias"):
            with_weights(verified_bytes(shipped, NETWORK), weights)

    def test_shards_without_the_package_onnx(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(ModelError, match=r"need the package onnx .*pip install 'rawkd\[onnx\]'"):
            with_weights(b"", {})

    def test_a_provider_that_is_not_there(self, card: ModelCard) -> None:
        import onnxruntime

        if CUDA in onnxruntime.get_available_providers():
            pytest.skip("this ONNX Runtime has CUDA")
        with pytest.raises(ModelError, match=r"this ONNX Runtime .* has no CUDA: pip install 'rawkd\[onnx\]'"):
            load_onnx_engine(card, CUDA, "cuda")

    def test_a_provider_that_does_not_start_is_not_the_cpu(
        self, card: ModelCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """ONNX Runtime warns and takes the CPU if a library of CUDA is missing: that is no GPU."""
        import onnxruntime

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
        session = SimpleNamespace(get_providers=lambda: [CPU])
        monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_words, **_options: session)
        with pytest.raises(ModelError, match=f"cannot run this network with {CUDA}"):
            check_golden(card, load_onnx_engine(card, CUDA, "cuda"))

    def test_a_provider_must_take_a_part_of_the_network(self) -> None:
        def session(*places: str) -> SimpleNamespace:
            found = [SimpleNamespace(ep_name=place) for place in places]
            return SimpleNamespace(get_providers=lambda: [CUDA, CPU], get_provider_graph_assignment_info=lambda: found)

        assert onnx_engine._uses(session(CPU, CUDA), CUDA)
        assert not onnx_engine._uses(session(CPU, CPU), CUDA)
        assert onnx_engine._uses(SimpleNamespace(get_providers=lambda: [CUDA, CPU]), CUDA)  # old versions do not tell

    def test_nothing_is_printed(self, card: ModelCard, capfd: pytest.CaptureFixture[str]) -> None:
        """Standard output belongs to --json."""
        load_onnx_engine(card, CPU, "gpu").run(np.zeros((1, 4, 16, 16), np.float32))
        assert capfd.readouterr().out == ""

    def test_an_altered_network_never_runs(self, card: ModelCard) -> None:
        network = card.directory / NETWORK
        network.write_bytes(network.read_bytes() + b"\0")
        with pytest.raises(ModelError, match="its sha256 differs"):
            load_onnx_engine(card, CPU, "gpu")

    def test_other_precisions_are_refused(self) -> None:
        assert onnx_engine.precision_of() == onnx_engine.precision_of("f32") == "f32"
        with pytest.raises(UsageError, match="computes in f32, not bf16"):
            onnx_engine.precision_of("bf16")


def test_without_onnx_runtime_the_extra_is_named(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"install the extra rawkd\[onnx\]"):
        load_onnx_engine(card, CPU, "gpu")
    monkeypatch.setattr(ways, "find_spec", lambda _: None)
    with pytest.raises(
        ModelError, match=r"cuda needs torch: pip install 'rawkd\[torch\]' or rawkd\[onnx\], or use --device cpu"
    ):
        Engines().load(card, device="cuda")


@pytest.mark.parametrize(
    ("system", "device", "has_onnx"), [("darwin", "gpu", True), ("darwin", "mps", False), ("linux", "cuda", True)]
)
def test_the_extras_are_those_that_serve_the_device(
    card: ModelCard, monkeypatch: pytest.MonkeyPatch, system: str, device: str, has_onnx: bool
) -> None:
    monkeypatch.setattr(ways, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(ModelError, match=f"^{device} needs torch") as caught:
        Engines().load(card, device=device)
    assert ("rawkd[onnx]" in str(caught.value)) == has_onnx


class TestIntelGPU:
    """OpenVINO's engine for GPUs, on the CPU."""

    def test_it_computes_the_network(self, card: ModelCard) -> None:
        engine = load_openvino_gpu_engine(card, "f32", "CPU")
        assert (engine.device, engine.precision) == ("gpu", "f32")
        planes = np.random.default_rng(0).random((1, 4, 16, 24)).astype(np.float32)
        expected = OpenVINOEngine(card, threads=1, precision="f32").run(planes)
        np.testing.assert_allclose(engine.run(planes), expected, rtol=0, atol=1e-6)
        assert check_golden(card, engine) < 1e-3

    def test_it_fills_in_the_weights_of_shards(self) -> None:
        shipped = read_card(models_directory() / "teacher-fanet")
        assert check_golden(shipped, load_openvino_gpu_engine(shipped, "f32", "CPU")) < 1e-3

    @pytest.mark.parametrize("graphics", [False, True])
    def test_a_missing_weight_is_no_failure_of_the_device(
        self, monkeypatch: pytest.MonkeyPatch, graphics: bool
    ) -> None:
        shipped = read_card(models_directory() / "teacher-fanet")
        weights = load_weights(shipped)
        del weights["stem.bias"]
        module = openvino_gpu if graphics else openvino_engine
        monkeypatch.setattr(module, "load_weights", lambda _: weights)
        engine = load_openvino_gpu_engine(shipped, "f32", "CPU") if graphics else OpenVINOEngine(shipped, threads=1)
        with pytest.raises(ModelError) as caught:
            engine.run(np.zeros((1, 4, 32, 32), np.float32))
        network = shipped.directory / NETWORK
        expected = f"{network} needs the tensor stem.bias, which the weights lack. Install the model again."
        assert str(caught.value) == expected

    def test_an_error_in_a_rewrite_is_not_taken_for_a_missing_weight(
        self, card: ModelCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no network that another test compiled

        def broken(*_: object) -> None:
            raise KeyError("a bug")

        monkeypatch.setattr(openvino_engine, "simplify", broken)
        with pytest.raises(KeyError, match="a bug"):
            OpenVINOEngine(card, threads=1).run(np.zeros((1, 4, 32, 32), np.float32))

    def test_16_bits_begin_at_the_first_convolution(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The CPU takes the hint f16 as it likes, so the test looks at the parts and their hints.

        An Intel Xeon with AVX-512 FP16 also sums in 16 bits, which GPUs do not: 0.09 of the noise for this student.
        """
        shipped = read_card(models_directory() / "fanet-fast-0")
        parts: list[tuple[bool, object]] = []

        class Core:
            get_property, read_model = openvino_core().get_property, openvino_core().read_model

            def compile_model(self, model: Any, device: str, options: dict[str, object]) -> Any:
                kinds = {operation.get_type_name() for operation in model.get_ops()}
                parts.append((bool(kinds & set(CONVOLUTIONS)), options["INFERENCE_PRECISION_HINT"]))
                return openvino_core().compile_model(model, device, options)

        monkeypatch.setattr(openvino_gpu, "openvino_core", Core)
        native = "FP16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        monkeypatch.setitem(selftest.TOLERANCE, "fp16", 0.2 if native else 0.05)
        check_golden(shipped, load_openvino_gpu_engine(shipped, "fp16", "CPU"))
        assert parts == [(False, "f32"), (True, "f16")]
        parts.clear()
        check_golden(shipped, load_openvino_gpu_engine(shipped, "f32", "CPU"))
        assert parts == [(True, "f32")]

    def test_precision_is_what_the_card_allows(self, card: ModelCard) -> None:
        assert openvino_gpu.precision_of(card) == "f32"
        assert openvino_gpu.precision_of(replace(card, bf16_cost_db={"1e-3": 0.001})) == "fp16"
        assert openvino_gpu.precision_of(replace(card, bf16_cost_db={"1e-3": 0.001}), "f32") == "f32"
        with pytest.raises(UsageError, match="f32 or fp16 on a GPU, not bf16"):
            openvino_gpu.precision_of(card, "bf16")

    def test_no_gpu_is_one_sentence(self, card: ModelCard) -> None:
        if any(name.startswith("GPU") for name in openvino_core().available_devices):
            pytest.skip("this machine has an Intel GPU")
        with pytest.raises(ModelError, match="finds no Intel GPU here: install the GPU's driver"):
            load_openvino_gpu_engine(card, "f32")

    def test_a_card_comes_before_a_part_of_the_processor(self) -> None:
        kinds = {"GPU.0": "Type.INTEGRATED", "GPU.1": "Type.DISCRETE"}
        core = SimpleNamespace(available_devices=["CPU", *kinds, "NPU"], get_property=lambda name, _: kinds[name])
        assert openvino_gpu._gpu_of(core) == "GPU.1"
        del kinds["GPU.1"]
        core.available_devices = ["CPU", "GPU.0"]
        assert openvino_gpu._gpu_of(core) == "GPU.0"


def test_what_cannot_be_a_result() -> None:
    planes = np.ones((1, 4, 2, 2), np.float32)
    assert checked(planes, planes.shape, "it") is planes
    with pytest.raises(ModelError, match=r"it returned shape .*, expected"):
        checked(planes, (1, 4, 4, 4), "it")
    for wrong in (np.nan, np.inf):
        planes[0, 1, 0, 1] = wrong
        with pytest.raises(ModelError, match="values that are not finite"):
            checked(planes, planes.shape, "it")


def test_errors_of_libraries_become_one_sentence() -> None:
    def compile_for(_shape: tuple[int, ...]) -> Callable[[FloatArray], FloatArray]:
        raise ValueError("\n  the driver\n  at line 5")

    engine = CompiledEngine("gpu", "f32", "a library", compile_for)
    with pytest.raises(ModelError, match=r"^the network fails on a library \(the driver\): use --device cpu$"):
        engine.run(np.zeros((1, 4, 2, 2), np.float32))


def test_of_an_error_of_openvino_only_the_reason_is_told() -> None:
    """Its messages begin with lines about its own source: one for each layer that the error went through."""
    openvino = import_openvino()
    core, planes = openvino_core(), openvino.opset13.parameter([1, 4, 8, 8], np.float32)
    model = openvino.Model([openvino.opset13.relu(planes)], [planes])

    def compile_for(_shape: tuple[int, ...]) -> Callable[[FloatArray], FloatArray]:
        return core.compile_model(model, "NOPE")

    with pytest.raises(ModelError, match=r'^the network fails on it \(Device with "NOPE" name is not registered'):
        CompiledEngine("gpu", "f32", "it", compile_for).run(np.zeros((1, 4, 8, 8), np.float32))
    with pytest.raises(RuntimeError, match=r"(?s)^Exception from .*\nCheck '.*\n.*incompatible") as caught:
        core.compile_model(model, "CPU")(np.zeros((1, 5, 8, 8), np.float32))
    assert reason_of(caught.value).startswith("Can't set the input tensor with index: 0")


@pytest.mark.parametrize(
    ("message", "reason"), [("", "ValueError"), (" \n", "ValueError"), ("Exception from a.cpp:1:", None)]
)
def test_an_error_without_a_reason_is_told_as_it_is(message: str, reason: str | None) -> None:
    assert reason_of(ValueError(message)) == (reason or message)


class TestWays:
    """Which library serves which device."""

    def test_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert [way.library for way in ways_to("cuda")] == ["torch", "onnxruntime"]
        assert [way.library for way in ways_to("mps")] == ["torch"]
        expected = {
            "linux": ["CUDA with torch", "CUDA with ONNX Runtime", "Intel GPU with OpenVINO"],
            "darwin": ["Apple GPU with torch", "Core ML with ONNX Runtime"],
        }
        expected["win32"] = [*expected["linux"][:2], "DirectML with ONNX Runtime", expected["linux"][2]]
        for system, names in expected.items():
            monkeypatch.setattr(sys, "platform", system)
            assert [way.name for way in ways_to("gpu")] == names
        assert {way.device for way in WAYS} == {"cuda", "mps", "gpu"}

    def test_auto_sees_an_onnx_runtime_for_cuda(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A plain ONNX Runtime, which other programs bring along, is no reason to look for a GPU."""
        package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
        monkeypatch.setattr(ways, "find_spec", lambda name: package if name == "onnxruntime" else None)
        monkeypatch.setattr(sys, "platform", "linux")
        exists = Path.exists
        monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidiactl" or exists(path))
        assert gpu_in_sight() is None
        (tmp_path / "capi").mkdir()
        (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"")
        assert gpu_in_sight() == "cuda"

    def test_the_first_that_works_is_taken(self, card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second, third = (Way(name, "gpu", "numpy") for name in ("first", "second", "third"))
        tried: list[str] = []
        started: list[str] = []

        def plan(way: Way, card: ModelCard, *_: object) -> tuple[str, Callable[[], Engine]]:
            tried.append(way.name)
            if way is first:
                raise OSError("libgpu.so: not found\nmore")
            fail = (lambda planes: planes + 1) if way is second else raising(AssertionError("it is asked once"))

            def start() -> Engine:
                started.append(way.name)
                return FakeGPU(card, 1 if way is second else 2, fail)

            return "f32", start

        monkeypatch.setattr(engine_module, "_plan", plan)
        monkeypatch.setattr(engine_module, "ways_to", lambda _: (first, second, third))
        engines = Engines()
        engine, warnings = engines.load(card, device="gpu")
        assert (engine.device, warnings, tried) == ("gpu", (), ["first", "second", "third"])
        assert engines.load(card, device="gpu")[0] is engine
        assert tried[3:] == ["second", "third"]  # these are asked for the precision only
        assert started == ["second", "third"]
        monkeypatch.setattr(engine_module, "ways_to", lambda _: (first, second))
        with pytest.raises(ModelError) as caught:
            Engines().load(card, device="gpu")
        assert str(caught.value).startswith(
            "no GPU is found for --device gpu (first: libgpu.so: not found; unet computes wrongly"
        )
        assert str(caught.value).count("use --device cpu") == 1

    def test_a_machine_without_gpu_is_one_sentence(
        self, family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        no_gpu_here()
        photo = write_photo(tmp_path / "photo.dng")
        assert main(["denoise", str(photo), "--model", str(family), "--device", "gpu"]) == 5
        (line,) = (line for line in capfd.readouterr().err.splitlines() if "GPU" in line)
        assert "no GPU is found for --device gpu" in line
        assert line.endswith("): see docs/install.md, or use --device cpu")
        assert [path.name for path in tmp_path.glob("*.dng")] == ["photo.dng"]

    def test_libraries_that_are_not_installed_are_named(self, card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
        """The owner of an NVIDIA GPU must learn that a library is missing, although OpenVINO is there."""
        no_gpu_here()
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(ways, "find_spec", lambda name: name == "openvino" or None)
        expected = (
            r"finds no Intel GPU .*; torch is not installed; onnxruntime is not installed\): see docs/install\.md"
        )
        with pytest.raises(ModelError, match=expected):
            Engines().load(card, device="gpu")

    def test_a_named_device_that_failed_is_not_tried_for_every_photo(
        self, card: ModelCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tries: list[str] = []

        def plan(way: Way, *_: object) -> None:
            tries.append(way.name)
            raise MemoryLimitError("its memory is full")

        monkeypatch.setattr(engine_module, "_plan", plan)
        monkeypatch.setattr(engine_module, "ways_to", lambda _: (FAKE,))
        engines = Engines()
        for _ in range(2):
            with pytest.raises(MemoryLimitError, match="its memory is full"):
                engines.load(card, device="gpu")
        assert tries == [FAKE.name]

    def test_a_gpu_gives_what_the_cpu_gives(self, card: ModelCard) -> None:
        try:
            engine, _ = Engines().load(card, device="gpu", precision="f32")
        except ModelError:
            pytest.skip("no GPU")
        planes = np.random.default_rng(0).random((1, 4, 64, 48)).astype(np.float32)
        expected = OpenVINOEngine(card, threads=1, precision="f32").run(planes)
        np.testing.assert_allclose(engine.run(planes), expected, rtol=0, atol=1e-4)


class TestFailures:
    """A GPU that fails: at its start, in its self-test, in the middle of a photo."""

    def test_a_precision_that_fails_does_not_doom_another(
        self, card: ModelCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The card allows 16 bits at low gains only, and the GPU computes them wrongly."""
        started: list[str] = []

        def plan(
            _way: Way, card: ModelCard, _precision: str | None, gain: float | None
        ) -> tuple[str, Callable[[], Engine]]:
            precision = "f32" if gain == 1e-2 else "fp16"

            def start() -> Engine:
                started.append(precision)
                return FakeGPU(card, 1 if precision == "fp16" else 99, lambda planes: planes + 1)

            return precision, start

        monkeypatch.setattr(engine_module, "_plan", plan)
        monkeypatch.setattr(engine_module, "ways_to", lambda _: (FAKE,))
        engines = Engines()
        for _ in range(2):
            with pytest.raises(ModelError, match="computes wrongly"):
                engines.load(card, device="gpu", gain=1e-4)
            assert engines.load(card, device="gpu", gain=1e-2)[0].device == "gpu"
        assert started == ["fp16", "f32"]

    @pytest.mark.parametrize(
        ("error", "left"),
        [
            (ModelError("it fails", ON_CPU), "it fails"),
            (MemoryLimitError("it fails", "install it", ON_CPU), "it fails: install it"),
            (ModelError("no numbers", ON_CPU, "update the driver"), "no numbers: update the driver"),
            (ModelError("wrong", OTHER_DEVICE, "update the driver"), "wrong: update the driver"),
        ],
    )
    def test_the_cpu_is_not_advised_where_it_does_the_work(
        self, family: Path, fake_gpu: Callable[..., list[FakeGPU]], error: RawkdError, left: str
    ) -> None:
        started = fake_gpu(2, raising(error))
        context = Context()
        first, second = (denoise(noisy_photo(80, 80), options_of(family), context=context) for _ in range(2))
        assert f"the GPU failed, so the CPU did the whole photo: {left}" in first.warnings
        assert f"the GPU is not used, since it failed before: {left}" in second.warnings
        fake_gpu(1, raising(error))
        assert Engines().load(read_card(family / "blur"), threads=1)[1] == (f"the GPU is not used: {left}",)
        assert len(started) == 1

    def test_the_self_test_refuses_a_named_device(
        self, card: ModelCard, fake_gpu: Callable[..., list[FakeGPU]]
    ) -> None:
        fake_gpu(1, lambda planes: planes + np.float32(1e-3))
        with pytest.raises(ModelError, match=r"unet computes wrongly on a fake GPU .*choose another --device"):
            Engines().load(card, device="gpu")

    def test_auto_warns_once_and_takes_the_cpu(self, card: ModelCard, fake_gpu: Callable[..., list[FakeGPU]]) -> None:
        started = fake_gpu(1, raising(ModelError("the driver is gone", ON_CPU)))
        engines = Engines()
        for _ in range(2):
            engine, warnings = engines.load(card, threads=1)
            assert engine.device == "cpu"
            assert warnings == ("the GPU is not used: the driver is gone",)
        assert len(started) == 1

    def test_the_self_test_of_a_gpu_is_not_remembered(
        self, card: ModelCard, fake_gpu: Callable[..., list[FakeGPU]]
    ) -> None:
        """A new driver has the same name as the old one."""
        started = fake_gpu(99, raising(ModelError("never")))
        for _ in range(2):
            Engines().load(card, device="gpu")
        assert [gpu.tiles for gpu in started] == [1, 1]

    @pytest.mark.parametrize("device", ["gpu", "auto"])
    @pytest.mark.parametrize("error", [ModelError("the device is lost"), MemoryLimitError("its memory is full")])
    def test_a_photo_is_done_again_on_the_cpu(
        self, family: Path, fake_gpu: Callable[..., list[FakeGPU]], device: str, error: Exception
    ) -> None:
        started = fake_gpu(4, raising(error))
        photo, context = noisy_photo(150, 202), Context()
        parts: list[float] = []
        failed = denoise(photo, options_of(family, device=device), parts.append, context=context)
        expected = denoise(photo, options_of(family, device="cpu"))
        np.testing.assert_array_equal(failed.mosaic.data, expected.mosaic.data)
        assert (failed.device, failed.precision) == ("cpu", "f32")
        assert failed.warnings == (*expected.warnings, f"the GPU failed, so the CPU did the whole photo: {error}")
        assert parts[-1] == 1
        tiles = started[0].tiles
        assert tiles >= 4

        later = denoise(photo, options_of(family, device=device), context=context)
        assert later.device == "cpu"
        assert f"the GPU is not used, since it failed before: {error}" in later.warnings
        assert [gpu.tiles for gpu in started] == [tiles]

    def test_16_bits_that_only_gpus_have_become_what_the_cpu_allows(
        self, family: Path, fake_gpu: Callable[..., list[FakeGPU]]
    ) -> None:
        fake_gpu(3, raising(ModelError("the device is lost")))
        context = Context()
        for _ in range(2):
            assert denoise(noisy_photo(80, 80), options_of(family, precision="fp16"), context=context).device == "cpu"

    def test_a_file_is_whole(self, family: Path, tmp_path: Path, fake_gpu: Callable[..., list[FakeGPU]]) -> None:
        fake_gpu(2, raising(ModelError("the device is lost")))
        photo = write_photo(tmp_path / "photo.dng")
        failed = process_file(photo, tmp_path / "failed.dng", ProcessOptions(options_of(family)))
        process_file(photo, tmp_path / "cpu.dng", ProcessOptions(options_of(family, device="cpu")))
        assert (tmp_path / "failed.dng").read_bytes() == (tmp_path / "cpu.dng").read_bytes()
        assert failed.device == "cpu"
        assert any("the CPU did the whole photo" in warning for warning in failed.warnings)
        assert {path.name for path in tmp_path.glob("*.dng*")} == {"photo.dng", "failed.dng", "cpu.dng"}

    def test_a_failure_of_the_cpu_is_an_error(
        self, family: Path, fake_gpu: Callable[..., list[FakeGPU]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The CPU's own error is said, and it is not asked a third time."""
        fake_gpu(2, raising(ModelError("the device is lost")))
        context, calls = Context(), []
        context.engines.load(read_card(family / "blur"), device="gpu", precision="f32")

        def broken(_engine: OpenVINOEngine, planes: FloatArray) -> FloatArray:
            calls.append(planes.shape)
            raise ModelError("no CPU either")

        monkeypatch.setattr(OpenVINOEngine, "run", broken)
        with pytest.raises(ModelError, match="no CPU either"):
            denoise(noisy_photo(80, 80), options_of(family), context=context)
        assert len(calls) == 1  # its self-test

    def test_cancelled_work_stays_cancelled(self, family: Path, fake_gpu: Callable[..., list[FakeGPU]]) -> None:
        started = fake_gpu(999, raising(ModelError("never")))
        context, calls = Context(), []

        def cancel(part: float) -> None:
            calls.append(part)
            raise CancelledError("enough")

        with pytest.raises(CancelledError):
            denoise(noisy_photo(80, 80), options_of(family), cancel, context=context)
        assert len(calls) == 1
        assert denoise(noisy_photo(80, 80), options_of(family), context=context).device == "gpu"
        assert len(started) == 1


class TestManyPhotos:
    """Batches and clusters."""

    def test_a_batch_goes_on_with_the_cpu(
        self, family: Path, tmp_path: Path, fake_gpu: Callable[..., list[FakeGPU]]
    ) -> None:
        """All threads of a batch share one engine; whenever it fails, every photo ends as the CPU makes it."""
        started = fake_gpu(4, raising(ModelError("the device is lost")))
        write_shoot(tmp_path / "in", 4)
        command = ["batch", str(tmp_path / "in"), "--model", str(family), "--jobs", "2", "-q", "-o"]
        report = ["--report", str(tmp_path / "report.json")]
        assert main([*command, str(tmp_path / "out"), "--device", "gpu", *report]) == 0
        photos = read_report(tmp_path / "report.json")["photos"]
        assert len(started) == 1
        assert started[0].tiles >= 4
        by_cpu = [photo for photo in photos if photo["device"] == "cpu"]
        assert by_cpu
        assert all("GPU" in " ".join(photo["warnings"]) for photo in by_cpu)
        assert not left_over(tmp_path / "out")
        assert main([*command, str(tmp_path / "cpu"), "--device", "cpu"]) == 0
        assert outputs(tmp_path / "out") == outputs(tmp_path / "cpu")

    def test_a_cluster_keeps_a_named_device_in_float32(self) -> None:
        for device, fixed in (("auto", "cpu"), ("gpu", "gpu"), ("cuda", "cuda")):
            options = BatchOptions(process=ProcessOptions(DenoiseOptions(device=device)))
            denoising = fixed_for_cluster(options).process.denoise
            assert (denoising.device, denoising.precision) == (fixed, "f32")

"""Weights as fp16 shards: small files, a graph without weights, and the answer that the rounded network gives."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")
pytest.importorskip("onnx", reason="needs the extra: rawkd[torch]")

from safetensors.numpy import load, save  # noqa: E402
from tiny_models import card_document, write_card  # noqa: E402
from tiny_teachers import NAFNET, STUDENT, shaken  # noqa: E402

from rawkd.cli import main  # noqa: E402
from rawkd.errors import ModelError  # noqa: E402
from rawkd.inference.card import ModelCard  # noqa: E402
from rawkd.inference.card_file import read_card  # noqa: E402
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine  # noqa: E402
from rawkd.inference.selftest import check_golden  # noqa: E402
from rawkd.inference.students import load_family  # noqa: E402
from rawkd.inference.torch_engine import load_module, load_torch_engine  # noqa: E402
from rawkd.inference.weights import NETWORK, WEIGHTS, load_weights, sha256_of, shard_names  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.training.export import measures  # noqa: E402
from rawkd.training.export import shards as sharding  # noqa: E402
from rawkd.training.export.shards import SHARD_BYTES, halve, shards  # noqa: E402
from rawkd.training.losses.terms import build_losses  # noqa: E402
from rawkd.training.run.loop import Run, train  # noqa: E402
from rawkd.training.saved.trained import find_trained  # noqa: E402
from rawkd.training.strategies.supervised import Supervised  # noqa: E402

HALF_ROUNDING = 2.0**-11
HALF_SUBNORMAL = 2.0**-25
"""The largest relative error of a 16-bit float, and the largest absolute one below its normal range."""


def network(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return shaken(build_network("nafnet", NAFNET), seed)


def card_of(folder: Path, files: dict[str, bytes]) -> ModelCard:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    hashes = {name: sha256_of(data) for name, data in files.items()}
    return write_card(folder, card_document(folder.name, network="nafnet", config=NAFNET, stride=8, files=hashes))


def test_shards_hold_every_tensor_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "SHARD_BYTES", 4000)
    teacher = network()
    files = shards(teacher)
    assert len(files) > 2
    assert next(iter(files)) == f"weights-1-of-{len(files)}.safetensors"
    for data in files.values():
        assert sum(tensor.nbytes for tensor in load(data).values()) <= 4000
        assert all(tensor.dtype == np.float16 for tensor in load(data).values())
    card = card_of(tmp_path / "m", files)
    assert sorted(shard_names(card)) == sorted(files)
    loaded = load_weights(card)
    halve(teacher)
    assert loaded.keys() == teacher.state_dict().keys()
    for name, tensor in teacher.state_dict().items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_array_equal(loaded[name], tensor.numpy())


def test_a_file_stays_under_sixteen_mebibytes() -> None:
    wide = torch.nn.ModuleList(torch.nn.Linear(2048, 1280, bias=False) for _ in range(4))  # 5 MiB each
    files = shards(wide)
    assert len(files) == 2
    assert all(len(data) < 16 << 20 for data in files.values())
    with pytest.raises(ModelError, match=r"the weights weight have 16 MiB, more than a shard can hold"):
        shards(torch.nn.Linear(4096, 2048, bias=False))
    assert SHARD_BYTES < 16 << 20


def test_weights_beyond_16_bits_are_refused() -> None:
    teacher = network()
    with torch.no_grad():
        teacher.head.bias[2] = 1e5
    with pytest.raises(ModelError, match=r"the weights head\.bias do not fit into 16-bit floats"):
        halve(teacher)


def test_large_kernels_are_stored_as_int8(tmp_path: Path) -> None:
    """They take a byte a weight, of which zlib makes 6 bits; what is read is what the network computes with."""
    torch.manual_seed(0)
    large, point, small = (torch.nn.Conv2d(*shape) for shape in ((128, 128, 3), (512, 256, 1), (64, 64, 3)))
    for one in (large, point, small):
        torch.nn.init.normal_(one.weight, std=0.05)
    with torch.no_grad():
        large.weight[0] *= 0.2499 / large.weight[0].abs().max()  # rounded up to a power of two
        large.weight[1] = 0
    kernels = [one.weight.detach().clone() for one in (large, point, small)]
    network = torch.nn.ModuleList([large, point, small])
    files = shards(network)
    (data,) = files.values()
    stored = load(data)
    assert stored["0.weight"].dtype == np.int8
    assert stored["0.weight"].shape == kernels[0].shape
    assert len(zlib.compress(stored["0.weight"].tobytes())) < 6.2 / 8 * kernels[0].numel()
    halve(network)
    step = 2 ** torch.ceil(torch.log2(kernels[0].abs().amax((1, 2, 3), keepdim=True).clamp(min=2**-14))) / 64
    assert torch.equal(large.weight, torch.round(kernels[0] / step) * step)
    for one, kernel in zip((point, small), kernels[1:], strict=True):
        assert torch.equal(one.weight, kernel.half().float())
    for written in (files, shards(network)):  # as before, and of the rounded network
        loaded = load_weights(card_of(tmp_path / "m", written))
        assert loaded.keys() == network.state_dict().keys()
        for name, tensor in network.state_dict().items():
            np.testing.assert_array_equal(loaded[name], tensor.numpy())


@pytest.mark.parametrize("rounds", [True, False], ids=["fp16", "twin with fewer bits"])
def test_reloaded_weights_answer_within_the_rounding_of_16_bits(tmp_path: Path, rounds: bool) -> None:
    teacher = network().double()
    original = {name: value.clone() for name, value in teacher.state_dict().items()}
    generator = torch.Generator().manual_seed(2)
    planes = torch.rand((1, 4, 16, 16), generator=generator).double()
    measure = torch.randn((1, 4, 16, 16), generator=generator).double()
    answer = (teacher(planes) * measure).sum()
    parameters = dict(teacher.named_parameters())
    slopes = torch.autograd.grad(answer, list(parameters.values()))
    # to first order, sum |dy/dw| |rounding of w|; 5 % more for the second order, each rounding being 2^-11
    bound = 1.05 * sum(
        float((slope.abs() * (HALF_ROUNDING * value.detach().abs()).clamp(min=HALF_SUBNORMAL)).sum())
        for slope, value in zip(slopes, parameters.values(), strict=True)
    )
    module = load_module(card_of(tmp_path / "m", shards(teacher))).double()
    if not rounds:  # eight bits less, as an error of a shard's writer would leave
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                mantissa, exponent = torch.frexp(original[name])
                parameter.copy_(torch.ldexp(torch.floor(mantissa * 8) / 8, exponent))
    with torch.no_grad():
        error = abs(float((module(planes) * measure).sum() - answer.detach()))
    assert (0 < error <= bound) == rounds


def test_doubled_and_damaged_shards_are_refused(tmp_path: Path) -> None:
    files = {f"weights-{n}-of-2.safetensors": save({"a": np.zeros(n, np.float16)}) for n in (1, 2)}
    with pytest.raises(ModelError, match=r"weights-2-of-2\.safetensors: the tensor a is also in another file"):
        load_weights(card_of(tmp_path / "doubled", files))
    card = card_of(tmp_path / "damaged", files | {"weights-2-of-2.safetensors": b"nothing"})
    with pytest.raises(ModelError, match=r"weights-2-of-2\.safetensors: not a valid safetensors file"):
        load_weights(card)
    lost = {"weights-1-of-1.safetensors": save({"a": np.zeros(3, np.int8)})}
    with pytest.raises(ModelError, match=r"the kernel a has no steps\. Export the model again"):
        load_weights(card_of(tmp_path / "lost", lost))
    (tmp_path / "doubled" / "weights-1-of-2.safetensors").unlink()
    with pytest.raises(ModelError, match=r"weights-1-of-2\.safetensors: cannot be read"):
        load_weights(read_card(tmp_path / "doubled"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`rawkd export --role teacher` of a short run on one picture."""
    import imageio.v3 as iio

    place = tmp_path_factory.mktemp("teacher")
    (place / "data").mkdir()
    for name in ("a.png", "b.png"):
        patches = np.random.default_rng(len(name)).integers(0, 256, (34, 34, 3), np.uint8)
        iio.imwrite(place / "data" / name, patches.repeat(8, 0).repeat(8, 1))
    (place / "data" / "SOURCES.tsv").write_text("file\trepository\tpath\tlicence\nb.png\tr\tp\tCC0\n")
    config = {key: value for key, value in NAFNET.items() if key != "anchor"}
    recipe = replace(STUDENT, name="teacher", network="nafnet", config=config, num_subranges=1, steps=2)
    run = place / "run"
    run.mkdir()
    train(
        recipe, 0, (None, None), lambda where, _student: Supervised(build_losses(recipe.losses, None, where)),
        Run(run, threads=1, validate_every=2),
    )  # fmt: skip
    asked = [run, "--data", place / "data", "--role", "teacher", "--family", "tiny", "--models", place / "models"]
    asked += ["--tier", "best"]
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore", DeprecationWarning)
        patch.setattr(measures, "NUM_CROPS", 1)
        assert main(["export", *map(str, asked)]) == 0
    return place / "models" / "teacher-tiny"


def test_an_exported_teacher_is_small_and_complete(exported: Path) -> None:
    card = read_card(exported)
    assert (card.name, card.role, card.tier, card.input) == ("teacher-tiny", "teacher", "best", "planes")
    assert set(card.files) == {"weights-1-of-1.safetensors", NETWORK}
    assert not (exported / WEIGHTS).exists()
    assert (card.subrange.low, card.subrange.high) == pytest.approx((8e-6, 4e-2))
    assert len(card.metrics) == 12
    text = (exported / "README.md").read_text()
    first = "A teacher of the family `tiny` for Bayer raw photos with gains 8e-06 to 0.04. "
    assert text.startswith(f"# teacher-tiny\n\n{first}")
    assert "`rawkd denoise --model best` uses it." in text
    assert load_family(exported) == (card,)
    assert find_trained(str(exported)) == card


def test_both_engines_run_a_graph_that_was_given_its_weights(exported: Path) -> None:
    card = read_card(exported)
    fast = OpenVINOEngine(card, threads=1, precision="f32")
    check_golden(card, fast)
    check_golden(card, load_torch_engine(card, "cpu", "f32"))
    assert b"encoder.1.0.mix.weight" in (exported / NETWORK).read_bytes()
    shard = exported / "weights-1-of-1.safetensors"
    sound = shard.read_bytes()
    less = {name: value for name, value in load(sound).items() if name != "stem.weight"}
    shard.write_bytes(save(less))
    altered = replace(card, files={**card.files, shard.name: sha256_of(save(less))})
    with pytest.raises(ModelError, match=r"network\.onnx needs the tensor stem\.weight, which the weights lack"):
        OpenVINOEngine(altered, threads=1).run(np.zeros((1, 4, 16, 16), np.float32))
    with pytest.raises(ModelError, match="its sha256 differs"):
        OpenVINOEngine(card, threads=1)
    shard.write_bytes(sound)

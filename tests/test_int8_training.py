"""Training with features and kernels rounded to int8."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from rawkd.cli import main  # noqa: E402
from rawkd.errors import ModelError  # noqa: E402
from rawkd.inference.cpu.precisions import int8_is_right  # noqa: E402
from rawkd.inference.graph.int8 import quantise_inputs, quantise_kernels  # noqa: E402
from rawkd.inference.openvino_library import import_openvino, openvino_core  # noqa: E402
from rawkd.networks.blocks import DenseGatedBlock  # noqa: E402
from rawkd.training.run import int8  # noqa: E402
from rawkd.training.run.int8 import convolutions_for_int8, round_as_int8  # noqa: E402

WIDTH, SIDE = 16, 12
LIMITS = np.linspace(0.5, 3, WIDTH, dtype=np.float32)


def block() -> torch.nn.ModuleDict:
    torch.manual_seed(3)
    made = torch.nn.ModuleDict({"block": DenseGatedBlock(WIDTH)})
    torch.nn.init.normal_(made["block"].mix.weight)
    return made


def features(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(1, WIDTH, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.mark.skipif(not int8_is_right(), reason="this CPU adds products of int8 in 16 bits")
def test_training_rounds_as_the_engine_does() -> None:
    """Both rounded answers agree far closer than either agrees with the exact one."""
    network, openvino = block(), import_openvino()
    mix = network["block"].mix
    operations = openvino.opset13
    planes, kernel = operations.parameter([1, WIDTH, SIDE, SIDE], np.float32), mix.weight.detach().numpy()
    constant = operations.constant(kernel)
    constant.set_friendly_name("block.mix.weight")
    result = operations.convolution(planes, constant, [1, 1], [1, 1], [1, 1], [1, 1])
    model = openvino.Model([result], [planes])
    quantise_inputs(openvino, model, {"block.mix": LIMITS})
    quantise_kernels(openvino, model)
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    by_engine = np.asarray(compiled([features().numpy()])[0])
    bias = mix.bias.detach()[:, None, None]
    with torch.no_grad():
        exact = (mix(features()) - bias).numpy()
        round_as_int8(network, {"block.mix": LIMITS})
        by_training = (mix(features()) - bias).numpy()
    apart, rounding = np.sqrt(np.mean((by_training - by_engine) ** 2)), np.sqrt(np.mean((by_engine - exact) ** 2))
    assert rounding > 1e-3
    assert apart < 0.05 * rounding


def test_gradients_pass_the_rounding_and_stop_beyond_the_range() -> None:
    network, taken = block(), features(2.0).requires_grad_()
    mix = network["block"].mix
    round_as_int8(network, {"block.mix": LIMITS})
    mix(taken).square().mean().backward()
    assert torch.isfinite(mix.weight.grad).all()
    assert mix.weight.grad.abs().min() > 0
    outside = taken.detach().abs() > 1.01 * torch.from_numpy(LIMITS)[:, None, None]
    assert 0.1 < outside.float().mean() < 0.9
    assert not taken.grad[outside].any()
    inside = taken.detach().abs() < 0.98 * torch.from_numpy(LIMITS)[:, None, None]
    assert taken.grad[inside].all()


def test_weights_keep_their_names_and_values() -> None:
    network = block()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    round_as_int8(network, {"block.mix": LIMITS})
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_convolutions_behind_a_norm_are_rounded() -> None:
    assert list(convolutions_for_int8(block())) == ["block.mix"]
    with pytest.raises(ModelError, match=r"no convolution block\.other of 16 channels"):
        round_as_int8(block(), {"block.other": LIMITS})
    with pytest.raises(ModelError, match=r"no convolution block\.mix of 3 channels"):
        round_as_int8(block(), {"block.mix": LIMITS[:3]})


def test_int8_needs_a_trained_network_of_dense_blocks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "run")
    assert main(["train", "--recipe", "balanced-dense", "--int8", "--out", out]) == 2
    assert "give --recipe and --start-from" in capsys.readouterr().err
    start = ["--start-from", "fanet-fast-0", "--data", str(tmp_path)]
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (256, 256, 3), np.uint8)
        iio.imwrite(tmp_path / f"{number}.png", pixels)
    assert main(["train", "--recipe", "fanet-fast", "--subrange", "0", "--int8", "--out", out, *start]) == 2
    assert "fanet-fast-0 has no convolutions that can compute in int8" in capsys.readouterr().err
    monkeypatch.setattr(int8, "BATCHES", 1)
    start[1] = "mono-balanced-0"
    assert main(["train", "--recipe", "best-dense", "--int8", "--out", out, *start]) == 2
    assert "mono-balanced-0 is of another size than the recipe's network" in capsys.readouterr().err

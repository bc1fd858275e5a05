"""Tiny teachers as model folders, for tests of distillation that must not wait for a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny_models import card_document, write_card

from rawkd.inference.card import ModelCard
from rawkd.inference.selftest import make_golden
from rawkd.inference.torch_engine import TorchEngine
from rawkd.inference.weights import WEIGHTS, sha256_of
from rawkd.networks import build_network
from rawkd.sensor.ksigma import Anchor
from rawkd.training.config import Recipe
from rawkd.training.data.dataset import Batch, NoisyBatches

STUDENT = Recipe(
    "tiny",
    "fanet",
    {"widths": [8, 16], "encoder_blocks": [1, 1], "decoder_blocks": [1], "groups": 2, "patch": True},
    steps=8,
    batch=4,
    crop_px=16,
    learning_rate=5e-3,
    warmup_steps=4,
    leaves=1.0,
)
ANCHOR = Anchor(2e-3, 5e-6)
"""Of the teachers; no student's."""
NAFNET: dict[str, Any] = {
    "widths": [8, 16], "encoder_blocks": [1, 1], "decoder_blocks": [1], "anchor": [ANCHOR.gain, ANCHOR.read_variance],
}  # fmt: skip


class WithVariance(torch.nn.Module):
    """A network that is told the noise of `ANCHOR`."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        told = planes.clamp(min=0) * ANCHOR.gain + ANCHOR.read_variance
        return self.network(torch.cat((planes, told), 1))


def shaken(network: Any, seed: int = 0, size: float = 0.05) -> Any:
    """The network with every weight moved, so that it does something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def teacher_card(
    folder: Path, network: str = "nafnet", config: dict[str, Any] | None = None, **changes: Any
) -> ModelCard:
    """A model folder with random weights, sound golden output, and a card."""
    config = NAFNET if config is None else config
    torch.manual_seed(0)
    module: Any = shaken(build_network(network, config))
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.clone() for name, value in module.state_dict().items()}, folder / WEIGHTS)
    asked = WithVariance(module) if module.in_channels == 8 else module
    golden = make_golden(TorchEngine(asked, "cpu").run, module.stride, ANCHOR)
    stated: dict[str, Any] = {
        "role": "teacher", "network": network, "config": config, "subrange": [1e-6, 0.5], "stride": module.stride,
        "tile": 64, "halo": 8, "anchor": {"gain": ANCHOR.gain, "read_variance": ANCHOR.read_variance}, "golden": golden,
        "input": "planes+variance" if module.in_channels == 8 else "planes",
        "files": {WEIGHTS: sha256_of((folder / WEIGHTS).read_bytes())},
    }  # fmt: skip
    return write_card(folder, card_document(folder.name, **(stated | changes)))


def exported_teacher(folder: Path, **changes: Any) -> ModelCard:
    """A teacher as `rawkd export` leaves it: 16-bit shards, a graph without weights, the halo measured."""
    from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
    from rawkd.inference.halo import measure_halo
    from rawkd.inference.weights import NETWORK
    from rawkd.training.export.export import _onnx
    from rawkd.training.export.shards import halve, shards

    torch.manual_seed(0)
    module: Any = shaken(build_network("nafnet", NAFNET))
    halve(module)
    folder.mkdir(parents=True, exist_ok=True)
    files = {**shards(module), NETWORK: _onnx(module, with_weights=False)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    stated: dict[str, Any] = {
        "role": "teacher", "network": "nafnet", "config": NAFNET, "subrange": [8e-6, 4e-2], "stride": module.stride,
        "tile": 64, "anchor": {"gain": ANCHOR.gain, "read_variance": ANCHOR.read_variance},
        "files": {name: sha256_of(data) for name, data in files.items()},
    }  # fmt: skip
    run = OpenVINOEngine(write_card(folder, card_document(folder.name, **stated)), threads=1, precision="f32").run
    stated |= {"halo": measure_halo(run, module.stride, 64, ANCHOR), "golden": make_golden(run, module.stride, ANCHOR)}
    return write_card(folder, card_document(folder.name, **(stated | changes)))


def leaves_batch(subrange: int = 1, recipe: Recipe = STUDENT, seed: int = 5) -> Batch:
    """A batch of dead leaves with the noise of a student's subrange."""
    return NoisyBatches(None, recipe, subrange, seed=seed, length=1)[0]

"""A finished run becomes a model directory: weights, ONNX graph, card, README.

The card is the truth; the README is made from it. Everything that the card states of the network is measured on the
exported graph, in the engine that photographers use.
"""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rawkd.errors import InputError, ModelError
from rawkd.files.atomic import atomic_output
from rawkd.inference.card_file import CARD, Golden, ModelCard, NoiseSubrange, card_json
from rawkd.inference.engine import Engine
from rawkd.inference.halo import measure_halo
from rawkd.inference.openvino_engine import OpenVINOEngine
from rawkd.inference.selftest import check_golden, make_golden
from rawkd.inference.weights import NETWORK, WEIGHTS, sha256_of
from rawkd.metrics import psnr, ssim
from rawkd.networks import build_network
from rawkd.networks.count import macs_per_mp, num_parameters
from rawkd.photo import FloatArray
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.training.checkpoint import Checkpoint, load_checkpoint
from rawkd.training.clean import CleanSet
from rawkd.training.dataset import picture_crop
from rawkd.training.readme import readme_of
from rawkd.training.synthesize import add_noise, camera_at

README = "README.md"
TILE_PX = 512
NUM_CROPS, CROP_PX = 24, 128
MEASURE_SEED = 4242
GAINS_A_STUDENT = 3
LIMITS = (
    "trained on synthetic Poisson-Gaussian noise: row noise, banding and patterned noise of extreme low light stay",
    "noise that a camera has already smoothed (lossy raw formats, in-camera noise reduction) is not what it expects",
)


@dataclass(frozen=True)
class Provenance:
    """What a run cannot know of itself.

    Attributes
    ----------
    family, licence : of the weights. commit : of the code. data : one row a training file. created : a date.
    hardware : its kind ("2 CPU cores, bf16").
    """

    family: str
    licence: str
    commit: str
    data: list[dict[str, str]]
    created: str
    hardware: str


def export(run: Path, models: Path, held_out: CleanSet, provenance: Provenance) -> Path:
    """Write `models/<family>-<subrange>/` from the averaged weights of a run, and check it.

    Raises
    ------
    ModelError: if the run holds no checkpoint, or the exported graph answers otherwise than the trained network.
    """
    checkpoint = load_checkpoint(run)
    if checkpoint is None:
        raise ModelError(f"{run} holds no checkpoint: train first")
    recipe, index = checkpoint.recipe["recipe"], checkpoint.recipe["subrange"]
    name = f"{provenance.family}-{index}"
    folder = models / name
    folder.mkdir(parents=True, exist_ok=True)
    config = _network_config(recipe, index)
    network = build_network(recipe["network"], config)
    network.load_state_dict(checkpoint.average)
    network.eval()
    files = {WEIGHTS: _weights(network), NETWORK: _onnx(network)}
    for file, data in files.items():
        with atomic_output(folder / file, overwrite=True) as temporary:
            temporary.write_bytes(data)
    low, high, anchor = _range_of(recipe, index)
    draft = ModelCard(
        family=provenance.family,
        name=name,
        role="student",
        network=recipe["network"],
        config=config,
        input="planes",
        subrange=NoiseSubrange(low, high),
        anchor=anchor,
        stride=int(network.stride),  # type: ignore[arg-type]
        halo=0,
        tile=TILE_PX,
        params=num_parameters(network),
        macs_per_mp=macs_per_mp(network, int(network.stride)),  # type: ignore[arg-type]
        files={file: sha256_of(data) for file, data in files.items()},
        golden=Golden(1, 64, 1, 1.0, 0.0, "-"),
        data=provenance.data,
        licence=provenance.licence,
        recipe={**recipe, "stages": stages_of(run), "hardware": provenance.hardware},
        commit=provenance.commit,
        seeds={"training": recipe["seed"], "measures": MEASURE_SEED},
        metrics={},
        bf16_cost_db=None,
        limits=LIMITS,
        created=provenance.created,
        directory=folder,
    )
    engine = OpenVINOEngine(draft, precision="f32")
    _same_answer(network, engine, draft)
    card = replace(
        draft,
        halo=measure_halo(engine.run, draft.stride, 256, anchor),
        golden=Golden(**make_golden(engine.run, draft.stride, anchor)),
        metrics=measure(engine, draft, held_out),
    )
    check_golden(card, engine)
    card = replace(card, bf16_cost_db=_bf16_cost(card, held_out))
    for file, text in ((CARD, card_json(card)), (README, readme_of(card))):
        with atomic_output(folder / file, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder


def measure(engine: Engine, card: ModelCard, held_out: CleanSet) -> dict[str, dict[str, float]]:
    """PSNR and SSIM over held-out crops at three gains of the student's subrange, true noise parameters.

    PSNR and SSIM of the packed signal clipped to 0..1, peak 1, mean over crops.
    """
    gains = np.geomspace(card.subrange.low, card.subrange.high, GAINS_A_STUDENT + 2)[1:-1]
    return {f"{gain:.2e}": _measure_at(engine, card, held_out, float(gain)) for gain in gains}


def _measure_at(engine: Engine, card: ModelCard, held_out: CleanSet, gain: float) -> dict[str, float]:
    rng = np.random.default_rng(MEASURE_SEED)
    rows = []
    for _ in range(NUM_CROPS):
        clean = picture_crop(held_out, CROP_PX, rng).planes
        camera = camera_at(gain)
        noisy = add_noise(clean, camera, rng)
        restored = _restore(engine, noisy, KSigma.between(camera.noise_model(), card.anchor))
        seen, out = np.clip(noisy, 0, 1), np.clip(restored, 0, 1)
        similarity = np.mean([ssim(a, b) for a, b in zip(out, clean, strict=True)])
        rows.append((psnr(out, clean), psnr(seen, clean), float(similarity)))
    means = np.mean(rows, axis=0)
    return {"psnr": round(float(means[0]), 3), "psnr_noisy": round(float(means[1]), 3), "ssim": round(float(means[2]), 5)}


def _restore(engine: Engine, noisy: FloatArray, ksigma: KSigma) -> FloatArray:
    restored: FloatArray = ksigma.invert(engine.run(ksigma.apply(noisy)[None])[0])
    return restored


def _bf16_cost(card: ModelCard, held_out: CleanSet) -> dict[str, float] | None:
    """dB that bf16 costs by gain; None where this machine has none, or where it fails the self-test."""
    try:
        engine = OpenVINOEngine(card, precision="bf16")
        check_golden(card, engine)
    except ModelError:
        return None
    short = measure(engine, card, held_out)
    return {gain: round(card.metrics[gain]["psnr"] - short[gain]["psnr"], 3) for gain in short}


def stages_of(run: Path) -> list[dict[str, Any]]:
    """The runs that led to these weights, first to last: recipe, steps, hours, last validation."""
    checkpoint: Checkpoint | None = load_checkpoint(run)
    if checkpoint is None:
        return []
    before = checkpoint.recipe["start_from"]
    stage = {
        "recipe": checkpoint.recipe["recipe"]["name"],
        "steps": checkpoint.step,
        "hours": round(checkpoint.seconds / 3600, 2),
        "val_psnr_gain_db": round(checkpoint.history[-1]["val_psnr_gain_db"], 3),
    }
    return [*(stages_of(Path(before)) if before else []), stage]


def data_rows(held_out: CleanSet, training: CleanSet, folders: list[Path]) -> list[dict[str, str]]:
    """One row a training file: its name and what a SOURCES.tsv beside it says of origin and licence.

    Raises
    ------
    InputError: if a file has no row there, since weights of unknown origin must not ship.
    """
    known: dict[str, dict[str, str]] = {}
    for folder in folders:
        table = folder / "SOURCES.tsv"
        if table.exists():
            rows = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")), delimiter="\t")
            known |= {row["file"]: row for row in rows}
    missing = [path.name for path in training.paths if path.name not in known]
    if missing:
        raise InputError(f"{missing[0]} and {len(missing) - 1} more files have no row in SOURCES.tsv: state origin and licence")
    used = [known[path.name] for path in training.paths]
    return [
        {key: row[key] for key in ("file", "repository", "path", "licence")} for row in used
    ] + [{"file": path.name, "use": "held out for validation"} for path in held_out.paths]


def _network_config(recipe: dict[str, Any], index: int) -> dict[str, Any]:
    config = dict(recipe["config"])
    if recipe["noise_units"]:
        _, _, anchor = _range_of(recipe, index)
        config["anchor"] = [anchor.gain, anchor.read_variance]
    return config


def _range_of(recipe: dict[str, Any], index: int) -> tuple[float, float, Anchor]:
    from rawkd.training.config import NoiseRecipe, Recipe

    typed = Recipe(**{**recipe, "noise": NoiseRecipe(**recipe["noise"])})
    subrange = typed.subrange(index)
    return subrange.low, subrange.high, typed.anchor(index)


def _weights(network: nn.Module) -> bytes:
    from safetensors.torch import save

    state = {name: tensor.detach().contiguous().clone() for name, tensor in network.state_dict().items()}
    return bytes(save(state))


def _onnx(network: nn.Module) -> bytes:
    """The graph with free height and width, opset 17."""
    buffer = io.BytesIO()
    size = 4 * int(network.stride)  # type: ignore[arg-type]
    torch.onnx.export(
        network,
        (torch.zeros(1, 4, size, size),),
        buffer,  # type: ignore[arg-type]
        input_names=["planes"],
        output_names=["restored"],
        dynamic_axes={"planes": {0: "n", 2: "h", 3: "w"}, "restored": {0: "n", 2: "h", 3: "w"}},
        opset_version=17,
        dynamo=False,
    )
    return buffer.getvalue()


def _same_answer(network: nn.Module, engine: Engine, card: ModelCard) -> None:
    """Raise ModelError unless torch and the exported graph agree to a thousandth of the noise."""
    rng = np.random.default_rng(0)
    clean = rng.uniform(0, 0.5, (1, 4, 64, 64)).astype(np.float32)
    deviation = np.sqrt(card.anchor.gain * clean + card.anchor.read_variance)
    planes = (clean + deviation * rng.standard_normal(clean.shape)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(planes)).numpy()
    error = float(np.sqrt((((engine.run(planes) - expected) / deviation) ** 2).mean()))
    if not error < 1e-3:
        raise ModelError(f"{card.name}: the exported graph is off by {error:.2g} of the noise: do not ship it")


def today() -> str:
    """The date in ISO form."""
    return time.strftime("%Y-%m-%d")

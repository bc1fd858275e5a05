"""Export a finished run as a model directory: weights, ONNX graph, card, README.

The README is made from the card. Everything that the card states about the network is measured on the exported graph,
in the engine that users run.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from rawkd.errors import ModelError, OutputError, UsageError
from rawkd.inference.card import Golden, ModelCard
from rawkd.inference.card_file import CARD, card_json, read_card
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.engine import Engine
from rawkd.inference.graph.int8 import decode
from rawkd.inference.halo import measure_halo
from rawkd.inference.selftest import check_golden, make_golden
from rawkd.inference.weights import NETWORK, WEIGHTS, sha256_of
from rawkd.networks import build_network
from rawkd.networks.count import macs_per_mp, num_parameters
from rawkd.photo import CFAPattern
from rawkd.training.config import Recipe, recipe_from_json, recipe_json
from rawkd.training.data.clean import CleanSet
from rawkd.training.export.int8 import with_int8
from rawkd.training.export.limits import limits_of
from rawkd.training.export.measures import MEASURE_SEED, cost_of, measure
from rawkd.training.export.readme import readme_of
from rawkd.training.export.shards import halve, shards
from rawkd.training.run.int8 import activation_ranges
from rawkd.training.saved.checkpoint import Checkpoint, load_checkpoint
from rawkd.training.saved.provenance import Provenance, stages_of

README = "README.md"
TILE_PX = {"fast": 832, "balanced": 768, "best": 640, None: 768}
"""Largest tile in packed pixels of 2x2, by tier; larger networks have smaller ones (docs/performance.md)."""
TILE_PX_XTRANS = 256
"""Largest tile in packed pixels of 6x6: 1536 pixels of mosaic, as 768 of 2x2."""
HALO_PX = 256
"""Side of the picture for the first measurement of the halo, packed pixels."""


def export(
    run: Path,
    models: Path,
    held_out: CleanSet,
    provenance: Provenance,
    *,
    role: str = "student",
    tier: str | None = None,
    half: bool = False,
    pictures: CleanSet | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model from the averaged weights of a run, check it, and return its folder.

    The folder is `models/<family>-<subrange>/`, or `models/teacher-<family>/`.

    Parameters
    ----------
    role : student | teacher. tier : fast | balanced | best, or None.
    half : write the weights as shards of fp16 and int8 (see `shards`), and the graph without weights.
    pictures : of the training, to measure the ranges of int8 on if the run had none; None for generated scenes.
    overwrite : replace a model that exists, whatever its weights.

    Raises
    ------
    ModelError: if the run contains no checkpoint, the folder exists and is not a model, or the exported graph and the
        trained network differ.
    OutputError: if the model exists and `overwrite` is false, or the folder cannot be created. UsageError: if the
        family is not a valid folder name.
    """
    checkpoint, recipe = checkpoint_of(run)
    index = checkpoint.recipe["subrange"]
    name = _name(role, provenance.family, recipe, index)
    _refuse_to_replace(models / name, overwrite=overwrite)
    try:
        models.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{models}: cannot be created ({error.strerror}). Give another --models.") from error
    with TemporaryDirectory(prefix=f".{name}-", dir=models) as stage:
        folder = Path(stage)
        config = recipe.network_config(index)
        network: Any = build_network(recipe.network, config)
        network.load_state_dict(checkpoint.average)
        network.eval()
        if half:
            halve(network)
            files = {**shards(network), NETWORK: _onnx(network, with_weights=False)}
        else:
            files = {WEIGHTS: _weights(network), NETWORK: _onnx(network)}
        for file, data in files.items():
            (folder / file).write_bytes(data)
        anchor, stride, channels = recipe.anchor(index), int(network.stride), recipe.channels
        draft = ModelCard(
            family=provenance.family,
            name=name,
            role=role,
            tier=tier,
            network=recipe.network,
            config=config,
            input=recipe.input,
            subrange=recipe.subrange(index),
            anchor=anchor,
            stride=stride,
            halo=0,
            tile=tile_px(recipe.cell, tier),
            params=num_parameters(network),
            macs_per_mp=macs_per_mp(
                network, stride, channels, packed=recipe.input == "planes", cell_px=recipe.cell.side**2
            ),
            files={file: sha256_of(data) for file, data in files.items()},
            golden=Golden(1, 64, 1, 1.0, 0.0, "-"),
            data=provenance.data,
            licence=provenance.licence,
            recipe={**recipe_json(recipe), "stages": stages_of(run), "hardware": provenance.hardware},
            commit=provenance.commit,
            seeds={"training": recipe.seed, "measures": MEASURE_SEED},
            metrics={},
            bf16_cost_db=None,
            limits=limits_of(recipe),
            created=provenance.created,
            directory=folder,
            cfa=recipe.cfa,
        )
        engine = OpenVINOEngine(draft, precision="f32")
        _same_answer(network, engine, draft)
        card = replace(
            draft,
            halo=_halo(engine, draft),
            golden=Golden(**make_golden(engine.run, stride, anchor, channels=channels)),
            metrics=measure(engine, draft, held_out),
        )
        check_golden(card, engine)
        card = replace(card, bf16_cost_db=cost_of("bf16", card, held_out))
        ranges = decode(recipe.int8) if recipe.int8 else activation_ranges(network, recipe, index, pictures)
        card = with_int8(card, ranges, held_out)
        for file, text in ((CARD, card_json(card)), (README, readme_of(card))):
            (folder / file).write_text(text, encoding="utf-8")
        return _moved(folder, models / name)


def tile_px(cell: CFAPattern, tier: str | None) -> int:
    """Return the side of the largest tile of a model, packed pixels."""
    return TILE_PX_XTRANS if cell.side == 6 else TILE_PX[tier]


def checkpoint_of(run: Path) -> tuple[Checkpoint, Recipe]:
    """Return the last state of a run and its recipe.

    Raises
    ------
    ModelError: if there is no checkpoint.
    """
    checkpoint = load_checkpoint(run)
    if checkpoint is None:
        raise ModelError(f"{run}: contains no checkpoint. Train first.")
    return checkpoint, recipe_from_json(checkpoint.recipe["recipe"])


def _refuse_to_replace(folder: Path, *, overwrite: bool) -> None:
    """Check that a model can be written to a folder, before it is measured.

    Raises
    ------
    OutputError: if there is a model already and `overwrite` is false. ModelError: if there is anything else.
    """
    if (folder / CARD).exists():
        if not overwrite:
            raise OutputError(
                f"{folder}: there is a model already. Give --overwrite to replace it, or another --family or --models."
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder}: exists and is not a model. Give another --family or --models.")


def _moved(stage: Path, folder: Path) -> Path:
    """Move a finished model to its folder; files of an older version that the model no longer has are removed."""
    folder.mkdir(exist_ok=True)
    olds = read_card(folder).files if (folder / CARD).exists() else ()
    for old in olds:
        if not (stage / old).exists():
            (folder / old).unlink(missing_ok=True)
    for new in sorted(stage.iterdir(), key=lambda path: path.name == CARD):
        new.replace(folder / new.name)
    return folder


def _name(role: str, family: str, recipe: Recipe, index: int) -> str:
    """Return the name of the folder of a model; UsageError if the family is not a valid folder name."""
    if not family or family in (".", "..") or {"/", "\\"} & set(family):
        raise UsageError(f"the family {family!r} is not a valid folder name. Give --family a name without slashes.")
    if role == "student":
        return recipe.student_name(index, family)
    alone = recipe.num_subranges == 1 and recipe.input == "planes"
    return f"teacher-{family if alone else recipe.student_name(index, family)}"


def _halo(engine: Engine, card: ModelCard) -> int:
    """Return the halo in packed pixels, measured in a small picture, or in a whole tile if that is too small."""
    halo = measure_halo(engine.run, card.stride, HALO_PX, card.anchor, card.channels)
    return halo if halo < HALO_PX // 2 else measure_halo(engine.run, card.stride, card.tile, card.anchor, card.channels)


def _weights(network: nn.Module) -> bytes:
    from safetensors.torch import save

    state = {name: tensor.detach().contiguous().clone() for name, tensor in network.state_dict().items()}
    return bytes(save(state))


def _onnx(network: nn.Module, *, with_weights: bool = True) -> bytes:
    """Return the ONNX graph, opset 17, with free height and width; without weights, each weight is a named input."""
    buffer = io.BytesIO()
    size = 4 * int(network.stride)  # type: ignore[arg-type]
    torch.onnx.export(
        network,
        (torch.zeros(1, int(network.in_channels), size, size),),  # type: ignore[arg-type]
        buffer,  # type: ignore[arg-type]
        input_names=["planes"],
        output_names=["restored"],
        dynamic_axes={"planes": {0: "n", 2: "h", 3: "w"}, "restored": {0: "n", 2: "h", 3: "w"}},
        opset_version=17,
        export_params=with_weights,
        do_constant_folding=with_weights,
        dynamo=False,
    )
    return buffer.getvalue()


def _same_answer(network: nn.Module, engine: Engine, card: ModelCard) -> None:
    """Raise ModelError unless torch and the exported graph agree to a thousandth of the noise (rms)."""
    rng = np.random.default_rng(0)
    clean = rng.uniform(0, 0.5, (1, card.channels, 64, 64)).astype(np.float32)
    deviation = np.sqrt(card.anchor.gain * clean + card.anchor.read_variance)
    planes = (clean + deviation * rng.standard_normal(clean.shape)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(planes)).numpy()
    error = float(np.sqrt((((engine.run(planes) - expected) / deviation) ** 2).mean()))
    if not error < 1e-3:
        raise ModelError(f"{card.name}: the exported graph is off by {error:.2g} of the noise. Do not use it.")

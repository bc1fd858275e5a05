"""Weights are found in a wheel and in a checkout, and altered ones are never used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_models import card_document, write_card

from rawkd.errors import ModelError
from rawkd.inference import weights
from rawkd.inference.weights import NETWORK, WEIGHTS, load_weights, models_directory, sha256_of, verified_bytes


def test_a_checkout_has_its_models_beside_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "files", lambda _: tmp_path / "rawkd")
    with pytest.raises(ModelError, match="--model"):
        models_directory()
    (tmp_path / "models").mkdir()
    assert models_directory() == tmp_path / "models"
    (tmp_path / "rawkd" / "_models").mkdir(parents=True)
    assert models_directory() == tmp_path / "rawkd" / "_models"


def test_tensors_come_back(tmp_path: Path) -> None:
    tensors = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.zeros(2, np.float32)}
    save_file(tensors, tmp_path / WEIGHTS)
    card = write_card(tmp_path, card_document(files={WEIGHTS: sha256_of((tmp_path / WEIGHTS).read_bytes())}))
    loaded = load_weights(card)
    assert set(loaded) == set(tensors)
    for name, values in tensors.items():
        np.testing.assert_array_equal(loaded[name], values)


def test_one_flipped_bit_is_refused(tmp_path: Path) -> None:
    data = bytearray(b"a network of some bytes")
    (tmp_path / NETWORK).write_bytes(data)
    card = write_card(tmp_path, card_document(files={NETWORK: sha256_of(bytes(data))}))
    assert verified_bytes(card, NETWORK) == bytes(data)
    data[7] ^= 1
    (tmp_path / NETWORK).write_bytes(data)
    with pytest.raises(ModelError, match=r"network\.onnx: its sha256 differs"):
        verified_bytes(card, NETWORK)


def test_missing_and_unnamed_files_are_said(tmp_path: Path) -> None:
    card = write_card(tmp_path, card_document(files={NETWORK: "0" * 64}))
    with pytest.raises(ModelError, match=r"network\.onnx: cannot be read \(No such file"):
        verified_bytes(card, NETWORK)
    with pytest.raises(ModelError, match=r"lists no weights\.safetensors"):
        verified_bytes(card, WEIGHTS)


def test_what_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"\x80\x04pickle")
    card = write_card(tmp_path, card_document(files={WEIGHTS: sha256_of(b"\x80\x04pickle")}))
    with pytest.raises(ModelError, match="not a valid safetensors file"):
        load_weights(card)

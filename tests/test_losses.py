"""Losses: their formulas, their units, and that their gradients reach the student and nothing else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from conftest import ROOT  # noqa: E402

from rawkd.errors import ModelError, UsageError  # noqa: E402
from rawkd.sensor.ksigma import Anchor, KSigma  # noqa: E402
from rawkd.sensor.noise import NoiseModel  # noqa: E402
from rawkd.training.data.dataset import Batch  # noqa: E402
from rawkd.training.losses.terms import (  # noqa: E402
    CHARBONNIER_C,
    LOSSES,
    STYLE_WEIGHT,
    RgbPerceptual,
    build_losses,
    charbonnier,
    content_and_style,
    gram,
    log_error,
    own_noise_charbonnier,
    to_signal,
    vgg16_stages,
)

CPU = torch.device("cpu")


def batch_of(clean: Any, sigma: Any, scale: float = 1.0, offset: float = 0.0) -> Batch:
    """A batch of grey light whose anchored values are scale * signal + offset."""
    n = len(clean)
    return Batch(
        noisy=clean, clean=clean, sigma=sigma, black=torch.full((n,), 0.01),
        scale=torch.full((n, 4), scale), offset=torch.full((n, 4), offset),
        white_balance=torch.tensor([[2.0, 1.0, 1.5]]).repeat(n, 1), rgb_from_camera=torch.eye(3).repeat(n, 1, 1),
    )  # fmt: skip


def planes(n: int = 2, side: int = 16, seed: int = 0) -> Any:
    return 0.1 + 0.3 * torch.rand((n, 4, side, side), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def perceptual() -> RgbPerceptual:
    torch.manual_seed(0)
    return RgbPerceptual(None)


def test_charbonnier_is_the_absolute_error_in_units_of_noise() -> None:
    clean = planes()
    sigma = torch.tensor([0.01, 0.1])
    restored = clean + torch.tensor([0.03, -0.2])[:, None, None, None]
    assert float(charbonnier(restored, clean, batch_of(clean, sigma))) == pytest.approx((3 + 2) / 2, rel=1e-4)


def test_own_noise_weighs_the_shadow_like_the_lamp() -> None:
    """One deviation of its own noise costs the same in the dark as in the light; in the crop's units it does not."""
    clean = torch.full((1, 4, 16, 16), 0.02)
    clean[..., 8:] = 1.0
    deviation = (clean + 0.01).sqrt() * 0.1
    sigma = (clean + 0.01).mean().sqrt().reshape(1) * 0.1
    batch = batch_of(clean, sigma)
    for half in (slice(None, 8), slice(8, None)):
        restored = clean.clone()
        restored[..., half] += deviation[..., half]
        assert float(own_noise_charbonnier(restored, clean, batch)) == pytest.approx(0.5, rel=1e-3)
    dark = clean.clone()
    dark[..., :8] += deviation[..., :8]
    assert float(charbonnier(dark, clean, batch)) < 0.15


@pytest.mark.parametrize(
    ("hard", "soft"), [("charbonnier", "soft-charbonnier"), ("own-noise-charbonnier", "own-noise-soft-charbonnier")]
)
def test_soft_losses_favour_a_faint_light_that_is_there_in_a_third_of_all_cases(hard: str, soft: str) -> None:
    """Its median is nothing, its mean a third of it."""
    clean = torch.full((30, 4, 2, 2), 1.0)
    clean[:10] += 0.5
    sigma = torch.ones(30)
    answers = torch.linspace(0, 0.5, 51)
    best = {}
    for name in (hard, soft):
        loss = build_losses({name: 1.0}, None, CPU)[name][1]
        values = [float(loss(torch.full_like(clean, 1 + float(x)), clean, batch_of(clean, sigma))) for x in answers]
        best[name] = float(answers[int(np.argmin(values))])
    assert best[hard] == 0
    assert 0.08 < best[soft] < 0.5 / 3


def test_charbonnier_is_smooth_where_nothing_is_wrong() -> None:
    clean, sigma = planes(), torch.full((2,), 0.5)
    restored = clean.clone().requires_grad_()
    loss = charbonnier(restored, clean, batch_of(clean, sigma))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(CHARBONNIER_C, rel=1e-3)
    assert CHARBONNIER_C == 1e-6
    assert restored.grad is not None
    assert float(restored.grad.abs().max()) == 0
    root = torch.zeros(1, requires_grad=True)
    torch.sqrt(root * root).backward()
    assert torch.isnan(root.grad).all()  # what c is there for


def test_the_logarithmic_error_counts_decibels() -> None:
    clean, sigma = planes(), torch.tensor([0.01, 0.1])
    batch = batch_of(clean, sigma)

    def at(errors: tuple[float, float]) -> float:
        return float(log_error(clean + torch.tensor(errors)[:, None, None, None], clean, batch))

    halved = at((0.01, 0.1)) - at((0.005, 0.1))
    assert halved == pytest.approx(at((0.01, 0.1)) - at((0.01, 0.05)), rel=1e-3)
    assert halved == pytest.approx(np.log(2) / 2, rel=1e-3)  # half the crops, 6 dB
    assert np.isfinite(at((0.0, 0.0)))


def test_to_signal_is_the_inverse_of_ksigma() -> None:
    noise = NoiseModel(np.array([1e-3, 2e-3, 2e-3, 3e-3]), np.full(4, 1e-6), "given")
    ksigma = KSigma.between(noise, Anchor(5e-3, 1e-5))
    signal = planes(1)
    columns = [torch.from_numpy(values.astype(np.float32))[None] for values in (ksigma.scale, ksigma.offset)]
    batch = batch_of(signal, torch.ones(1))._replace(scale=columns[0], offset=columns[1])
    torch.testing.assert_close(to_signal(ksigma.apply(signal), batch), signal, atol=1e-6, rtol=0)


def test_gram_matrices() -> None:
    features = torch.arange(12.0).reshape(1, 2, 2, 3)
    flat = features.reshape(2, 6).numpy()
    np.testing.assert_allclose(gram(features)[0], flat @ flat.T / 12, rtol=1e-6)


def test_content_of_the_third_and_style_of_all() -> None:
    clean = [torch.rand(2, c, 8, 8, generator=torch.Generator().manual_seed(c)) for c in (2, 3, 4, 5)]
    assert float(content_and_style(clean, clean)) == 0
    for scale in range(4):
        restored = [features.clone() for features in clean]
        restored[scale] = restored[scale] + 0.1
        style = float((gram(restored[scale]) - gram(clean[scale])).square().sum((1, 2)).mean())
        content = 0.1**2 if scale == 2 else 0.0
        assert float(content_and_style(restored, clean)) == pytest.approx(content + STYLE_WEIGHT * style, rel=1e-4)


def test_perceptual_loss_sees_what_differs_and_teaches_the_student(perceptual: RgbPerceptual) -> None:
    clean = planes()
    batch = batch_of(clean, torch.ones(2))
    assert float(perceptual(clean, clean, batch)) == 0
    near, far = (perceptual(clean + error * planes(seed=1), clean, batch) for error in (0.02, 0.2))
    assert 0 < float(near) < float(far)
    restored = (clean + 0.05 * planes(seed=1)).requires_grad_()
    perceptual(restored, clean, batch).backward()
    assert restored.grad is not None
    assert torch.isfinite(restored.grad).all()
    assert float(restored.grad.abs().max()) > 0
    assert not any(parameter.requires_grad for parameter in perceptual.parameters())


def test_perceptual_loss_looks_at_the_signal(perceptual: RgbPerceptual) -> None:
    signal, other = planes(), planes(seed=1)
    direct = perceptual(signal, other, batch_of(other, torch.ones(2)))
    anchored = perceptual(3 * signal - 1, 3 * other - 1, batch_of(3 * other - 1, torch.ones(2), 3.0, -1.0))
    assert float(direct) == pytest.approx(float(anchored), rel=1e-4)


def test_perceptual_loss_is_computed_in_float32(perceptual: RgbPerceptual) -> None:
    clean, other = planes(), planes(seed=1)
    batch = batch_of(clean, torch.ones(2))
    exact = perceptual(other, clean, batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert float(perceptual(other, clean, batch)) == float(exact)


@pytest.mark.parametrize("width", [64, 4], ids=["VGG16", "a narrower network"])
def test_vgg16_weights_are_taken_from_torchvisions_file(width: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    stages = vgg16_stages([width, 2 * width, 4 * width, 8 * width])
    convolutions = [module for module in stages.modules() if isinstance(module, torch.nn.Conv2d)]
    assert [module.out_channels // width for module in convolutions] == [1, 1, 2, 2, 4, 4, 4, 8, 8, 8]
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)
    state = {}
    for place, module in zip(places, convolutions, strict=True):
        state |= {f"features.{place}.weight": module.weight.clone(), f"features.{place}.bias": module.bias.clone()}
    path = tmp_path / "vgg16.pth"
    torch.save(state | {"features.24.weight": torch.zeros(1), "classifier.0.weight": torch.zeros(1)}, path)
    loaded = RgbPerceptual(path)
    expected = RgbPerceptual(None)
    expected.stages = stages.requires_grad_(requires_grad=False)
    clean, other = planes(), planes(seed=1)
    batch = batch_of(clean, torch.ones(2))
    assert float(loaded(other, clean, batch)) == float(expected(other, clean, batch))
    assert float(loaded(other, clean, batch)) != float(RgbPerceptual(None)(other, clean, batch))


def test_a_network_trained_on_photos_gives_the_perceptual_loss_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`benchmarks/train_vgg.py`: its normalisation is folded into the convolutions, which changes no feature."""
    import imageio.v3 as iio

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    train_vgg = importlib.import_module("train_vgg")
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        iio.imwrite(tmp_path / "photos" / name, np.random.default_rng(seed).integers(0, 256, (140, 70, 3), np.uint8))
    path = tmp_path / "vgg.pt"
    monkeypatch.setattr(train_vgg, "CHECKED", 32)
    asked = [str(tmp_path / "photos"), "--out", str(path), "--width", "2", "--steps", "2", "--batch", "4"]
    monkeypatch.setattr(sys, "argv", ["train_vgg.py", *asked])
    train_vgg.main()
    assert [stage[-2].out_channels for stage in RgbPerceptual(path).stages] == [2, 4, 8, 16]
    torch.manual_seed(3)
    network = train_vgg.Pretext(2).eval()
    for layer in network.layers:
        if isinstance(layer, torch.nn.BatchNorm2d):
            for values in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                values.copy_(0.5 + torch.rand(len(values)))
    torch.save(network.folded(), path)
    picture = torch.rand((2, 3, 32, 32))
    expected = network.layers(picture)
    (*_, found) = RgbPerceptual(path)._features(picture)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        network.layers[1].bias += 0.1
    assert not torch.allclose(found, network.layers(picture))


@pytest.mark.parametrize("content", ["nothing", "text", "list", "few", "other shapes"])
def test_other_files_are_no_vgg16(content: str, tmp_path: Path) -> None:
    path = tmp_path / "vgg16.pth"
    if content == "text":
        path.write_text("no weights")
    elif content == "list":
        torch.save([1, 2], path)
    elif content == "few":
        torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}, path)
    elif content == "other shapes":
        torch.save({f"features.{i}.{kind}": torch.zeros(2) for i in range(13) for kind in ("weight", "bias")}, path)
    with pytest.raises(ModelError, match=r"vgg16\.pth: not VGG16 weights\. Give the state dict"):
        RgbPerceptual(path)


def test_losses_are_built_by_name() -> None:
    built = build_losses({"charbonnier": 0.7}, None, CPU)
    assert built == {"charbonnier": (0.7, charbonnier)}
    with pytest.raises(UsageError, match=r"no loss 'l1'\. Choose from charbonnier"):
        build_losses({"l1": 1.0}, None, CPU)
    with pytest.raises(UsageError, match=r"rgb-perceptual needs VGG16 weights\. Give .* --vgg16"):
        build_losses({"rgb-perceptual": 1.0}, None, CPU)
    assert {"charbonnier", "rgb-perceptual"} <= set(LOSSES)

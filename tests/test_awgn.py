"""Training on white Gaussian noise: what batches hold, that runs learn and resume, what they become, who refuses it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from small_photos import noisy_photo  # noqa: E402
from test_training import Interrupted, assert_equal_runs, supervised  # noqa: E402
from tiny_pictures import picture_folder  # noqa: E402

from rawkd.cli import main  # noqa: E402
from rawkd.errors import ModelError, UsageError  # noqa: E402
from rawkd.files.write.dng import write_dng  # noqa: E402
from rawkd.inference.card_file import read_card  # noqa: E402
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine  # noqa: E402
from rawkd.inference.selftest import check_golden  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.training import recipes  # noqa: E402
from rawkd.training.config import Recipe  # noqa: E402
from rawkd.training.data.batches import batches_of  # noqa: E402
from rawkd.training.data.clean import CleanSet, find_pictures  # noqa: E402
from rawkd.training.data.synthesize import NoiseShare  # noqa: E402
from rawkd.training.distill.distillation import Distillation  # noqa: E402
from rawkd.training.losses.terms import LOSSES  # noqa: E402
from rawkd.training.picture_recipes import MDRN_2B_COLOUR, MDRN_2B_GREY, PICTURE_RECIPES  # noqa: E402
from rawkd.training.recipe_file import recipe_named  # noqa: E402
from rawkd.training.recipes import FANET_FAST  # noqa: E402
from rawkd.training.run.loop import Progress, Run, train  # noqa: E402
from rawkd.training.run.validation import validate  # noqa: E402
from rawkd.training.saved.checkpoint import load_checkpoint  # noqa: E402
from rawkd.training.saved.trained import find_trained  # noqa: E402
from rawkd.training.strategies.teacher import Teacher  # noqa: E402

CONFIG: dict[str, Any] = {"channels": 1, "blocks": 1, "width": 8, "branch_width": 4, "groups": 4}
TINY = replace(
    MDRN_2B_GREY,
    name="tiny-grey",
    config=CONFIG,
    steps=8,
    batch=4,
    crop_px=16,
    learning_rate=5e-3,
    kernel_rate=None,
    warmup_steps=4,
)
TINY_COLOUR = replace(TINY, name="tiny-colour", config=CONFIG | {"channels": 3})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_folder(tmp_path_factory.mktemp("pictures"), ((72, 80),) * 6, colour=True)


@pytest.fixture(scope="module")
def pictures(folder: Path) -> tuple[CleanSet, CleanSet]:
    return find_pictures([folder], 16, raw=False)


def noise_is_of(residual: Any, sigma: float) -> bool:
    """Whether mean, variance, kurtosis and correlation with the neighbours are those of white Gaussian noise.

    Tolerances are five standard deviations of each estimate over n independent numbers: of the mean sigma/sqrt(n), of
    the variance sigma^2 sqrt(2/n), of the kurtosis sqrt(24/n), of a correlation 1/sqrt(n).
    """
    noise = np.asarray(residual, np.float64) * 255 / sigma
    n = noise.size
    right, below = (noise[..., 1:] * noise[..., :-1]).mean(), (noise[..., 1:, :] * noise[..., :-1, :]).mean()
    return bool(
        abs(noise.mean()) < 5 / np.sqrt(n)
        and abs(noise.var() - 1) < 5 * np.sqrt(2 / n)
        and abs((noise**4).mean() / noise.var() ** 2 - 3) < 5 * np.sqrt(24 / n)
        and max(abs(right), abs(below)) < 5 / np.sqrt(n * 0.9)
    )


def share_of_integers(values: Any) -> float:
    """Of values within a hundredth of a level of 8 bits: 0.02 where they are not rounded."""
    levels = np.asarray(values, np.float64) * 255
    return float((np.abs(levels - np.rint(levels)) < 0.01).mean())


@pytest.mark.parametrize("recipe", [MDRN_2B_GREY, MDRN_2B_COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("sigma", [15.0, 50.0])
def test_the_noise_is_white_gaussian_of_sigma(
    pictures: tuple[CleanSet, CleanSet], recipe: Recipe, sigma: float
) -> None:
    batches = batches_of(pictures[0], recipe.with_sigma(sigma, sigma), 0, seed=1, length=8)
    pairs = [batches[index] for index in range(8)]
    noisy, clean = (np.concatenate([pair[part].numpy() for pair in pairs]) for part in (0, 1))
    assert noisy.shape[1] == clean.shape[1] == recipe.config["channels"]
    assert noise_is_of(noisy - clean, sigma)
    assert not noise_is_of(noisy - clean, 1.02 * sigma)
    smooth = (noisy - clean)[..., 1:] + 0.02 * (noisy - clean)[..., :-1]
    assert not noise_is_of(smooth, sigma)
    assert noisy.min() < 0
    assert noisy.max() > 1
    if sigma == 50:
        assert not noise_is_of(np.clip(noisy, 0, 1) - clean, sigma)
    assert share_of_integers(noisy) < 0.025
    assert share_of_integers(np.rint(noisy * 255) / 255) == 1
    assert all(torch.all(pair.sigma == np.float32(sigma) / np.float32(255)) for pair in pairs)


def test_clean_crops_are_the_pictures_in_all_symmetries(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    iio.imwrite(tmp_path / "one.png", picture)
    batches = batches_of(find_pictures([tmp_path], 16)[0], TINY, 0, seed=1, length=20)
    seen = {
        (255 * crop[0].numpy()).round().astype(np.uint8).tobytes()
        for index in range(20)
        for crop in batches[index].clean
    }
    turned = [np.rot90(flipped, turns) for flipped in (picture, picture.T) for turns in range(4)]
    assert seen == {np.ascontiguousarray(view).tobytes() for view in turned}


def test_batches_are_fixed_by_seed_and_number(pictures: tuple[CleanSet, CleanSet]) -> None:
    recipe = TINY.with_sigma(5.0, 55.0)
    first, other = (batches_of(pictures[0], recipe, 0, seed=seed, length=9) for seed in (1, 2))
    for one, again in zip(first[3][:8], batches_of(pictures[0], recipe, 0, seed=1, length=4)[3][:8], strict=True):
        assert torch.equal(one, again)
    assert not torch.equal(first[3].noisy, first[4].noisy)
    assert not torch.equal(first[3].noisy, other[3].noisy)
    sigmas = 255 * torch.cat([first[index].sigma for index in range(9)])
    assert sigmas.min() >= 5 - 1e-3
    assert sigmas.max() <= 55 + 1e-3
    assert len(sigmas.unique()) == len(sigmas)


def test_a_second_noise_is_weaker_and_another(pictures: tuple[CleanSet, CleanSet]) -> None:
    recipe = replace(TINY, batch=64)
    plain = batches_of(pictures[0], recipe, 0, seed=1, length=1)[0]
    batch = batches_of(pictures[0], recipe, 0, seed=1, length=1, weaker=NoiseShare(0.25, 0.25))[0]
    assert torch.equal(plain.noisy, batch.noisy)
    assert batch.weaker is not None
    assert torch.equal(batch.weaker.clean, batch.clean)
    torch.testing.assert_close(batch.weaker.sigma, batch.sigma / 2)
    assert noise_is_of(batch.weaker.noisy - batch.clean, 25.0)
    both = [(part.noisy - part.clean).flatten().numpy() for part in (batch, batch.weaker)]
    assert abs(np.corrcoef(both)[0, 1]) < 5 / np.sqrt(both[0].size)


def test_validation_measures_against_the_noise(pictures: tuple[CleanSet, CleanSet]) -> None:
    batches = [batches_of(pictures[1], replace(TINY, batch=16), 0, seed=77, length=2, exact=True)[0]]
    same = validate(torch.nn.Identity(), batches, torch.device("cpu"))
    assert same["val_psnr_gain_db"] == 0
    assert abs(same["val_noise_db"]) < 5 * 10 / np.log(10) * np.sqrt(2 / batches[0].noisy.numel())


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"rgb-perceptual"}))
def test_losses_know_noise_without_gain(pictures: tuple[CleanSet, CleanSet], name: str) -> None:
    batch = batches_of(pictures[0], TINY, 0, seed=1, length=1)[0]
    loss = LOSSES[name](None)
    values = [
        float(loss(batch.clean + share * (batch.noisy - batch.clean), batch.clean, batch)) for share in (0, 0.5, 1)
    ]
    assert np.isfinite(values).all()
    assert values[0] < values[1] < values[2]
    if name == "own-noise-charbonnier":
        assert values[2] == pytest.approx(float(LOSSES["charbonnier"](None)(batch.noisy, batch.clean, batch)), rel=1e-3)


def run(pictures: Any, out: Path, recipe: Recipe = TINY, **choices: Any) -> Any:
    listen = choices.pop("listen", lambda _: None)
    out.mkdir(exist_ok=True)
    made = Run(out, **({"validate_every": 4, "threads": 1} | choices))
    return train(recipe, 0, pictures, supervised, made, listen=listen)


@pytest.mark.parametrize("learning_rate", [5e-3, 0.0], ids=["learning", "twin without learning"])
def test_a_network_learns(pictures: Any, tmp_path: Path, learning_rate: float) -> None:
    recipe = replace(TINY, steps=60, batch=16, learning_rate=learning_rate)
    state = run(pictures, tmp_path / "run", recipe, validate_every=60)
    assert (state.history[-1]["val_psnr_gain_db"] > 2) == (learning_rate > 0)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_is_the_uninterrupted_run(pictures: Any, tmp_path: Path, workers: int) -> None:
    whole = run(pictures, tmp_path / "whole", TINY_COLOUR)

    def interrupt(progress: Progress) -> None:
        if progress.step == 6:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(pictures, tmp_path / "parts", TINY_COLOUR, listen=interrupt, workers=workers)
    kept = load_checkpoint(tmp_path / "parts")
    assert kept is not None
    assert kept.step == 4
    assert_equal_runs(run(pictures, tmp_path / "parts", TINY_COLOUR, workers=workers), whole)
    with pytest.raises(ModelError, match=r"recipe.high 50.0 -> 25.0, recipe.low 50.0 -> 25.0"):
        run(pictures, tmp_path / "whole", TINY_COLOUR.with_sigma(25.0, 25.0))


def test_recipes_state_sigma() -> None:
    assert {recipe.name for recipe in PICTURE_RECIPES} == {
        "mdrn-2b-grey", "mdrn-grey", "mdrn-2b-colour", "mdrn-colour", "mlefgn-grey", "mlefgn-colour",
    }  # fmt: skip
    for recipe in PICTURE_RECIPES:
        assert recipe_named(recipe.name) is recipe
        assert recipe.input == ("grey" if recipe.name.endswith("grey") else "rgb")
        assert build_network(recipe.network, recipe.network_config(0)).in_channels == recipe.config["channels"]
        assert recipe.crop_side_px == recipe.crop_px
    recipe = MDRN_2B_GREY.with_sigma(5.0, 45.0)
    assert (recipe.subrange(0).low, recipe.subrange(0).high) == pytest.approx(recipe.training_range(0))
    assert recipe.anchor(0).gain == 0
    assert recipe.anchor(0).read_variance == pytest.approx((15 / 255) ** 2)
    assert recipe.student_name(0, "family") == "family-5-45"
    assert MDRN_2B_GREY.student_name(0) == "mdrn-2b-grey-50"
    assert FANET_FAST.student_name(2, "family") == "family-2"
    assert FANET_FAST.with_noise_model("eld").noise.model == "eld"
    with pytest.raises(UsageError, match="takes 4 planes, but awgn needs grey or colour pictures"):
        _ = replace(MDRN_2B_GREY, config={}).input


@pytest.fixture(scope="module")
def trained(pictures: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    run(pictures, out)
    return out


@pytest.fixture(scope="module")
def model(trained: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = picture_folder(tmp_path_factory.mktemp("data"), ((136, 144),) * 3, colour=True)
    names = {path.name for place in (data, folder) for path in place.glob("*.png")}  # folder: what it learnt from
    rows = "".join(f"{name}\tr\tp\tCC0\n" for name in sorted(names))
    (data / "SOURCES.tsv").write_text(f"file\trepository\tpath\tlicence\n{rows}")
    models = tmp_path_factory.mktemp("models")
    assert main(["export", str(trained), "--data", str(data), "--family", "tiny-grey", "--models", str(models)]) == 0
    return models / "tiny-grey-50"


def test_a_run_becomes_a_model_of_pictures(model: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = read_card(model)
    assert card.input == "grey"
    assert (card.subrange.low, card.subrange.high) == (50, 50)
    assert card.anchor == TINY.anchor(0)
    assert card.halo > 0
    assert set(card.metrics) == {"50"}
    engine = OpenVINOEngine(card, threads=1, precision="f32")
    assert check_golden(card, engine) < 1e-3
    state = load_checkpoint(trained)
    assert state is not None
    network = build_network("mdrn", TINY.config)
    network.load_state_dict(state.average)
    planes = np.random.default_rng(0).random((1, 1, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(planes)).numpy()
    np.testing.assert_allclose(engine.run(planes), expected, atol=1e-4)
    assert "for grey pictures with additive white Gaussian noise of sigma 50" in (model / "README.md").read_text()
    assert "packed" not in (model / "README.md").read_text()
    assert main(["models", "--model", str(model)]) == 0
    assert "tiny-grey-50 grey pictures sigma 50 .. 50" in " ".join(capsys.readouterr().out.split())


def test_it_is_no_raw_model(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = noisy_photo()
    (tmp_path / "in").mkdir()
    write_dng(tmp_path / "in" / "a.dng", raw, preview=None, software="test", noise_profile=raw.noise_profile)
    refused = "the model tiny-grey-50 is for grey pictures with white Gaussian noise, not for raw photos"
    for arguments in (
        ["denoise", tmp_path / "in" / "a.dng", "--model", model],
        ["batch", tmp_path / "in", "-o", tmp_path / "out", "--model", model],
        ["inspect", tmp_path / "in" / "a.dng", "--model", model],
    ):
        assert main([str(argument) for argument in arguments]) in (1, 5)
        assert refused in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.rglob("*denoised*"))


def distilled(strategy: str, teacher: Path, recipe: Recipe, **numbers: Any) -> Any:
    distillation = Distillation.of(strategy, (find_trained(str(teacher)),), numbers)
    return lambda device, student: distillation.build(recipe, 0, student, None, device)


@pytest.mark.parametrize(
    ("strategy", "numbers"),
    [("response", {"ensemble": 8}), ("feature-matching", {}), ("hads", {}), ("hmds", {"noise_ratio": 2.0})],
)
def test_students_of_pictures_have_teachers_of_pictures(
    pictures: Any, model: Path, trained: Path, tmp_path: Path, strategy: str, numbers: dict[str, Any]
) -> None:
    recipe = replace(TINY, steps=2, seed=3)
    if strategy == "hmds":
        recipe = recipe.with_sigma(100.0, 100.0)  # the teacher knows half of it
    for teacher in (model, trained):
        (tmp_path / teacher.name).mkdir()
        made = Run(tmp_path / teacher.name, threads=1, validate_every=2)
        state = train(recipe, 0, pictures, distilled(strategy, teacher, recipe, **numbers), made)
        assert all(np.isfinite(value) for value in state.history[-1].values())


def test_a_teacher_answers_pictures_as_they_are(pictures: Any, model: Path) -> None:
    batch = batches_of(pictures[0], TINY, 0, seed=1, length=1)[0]
    teacher = Teacher(read_card(model), TINY.anchor(0), torch.device("cpu"))
    with torch.no_grad():
        assert torch.equal(teacher.restore(batch.noisy, batch), teacher.network(batch.noisy))
    ensemble = Teacher(read_card(model), TINY.anchor(0), torch.device("cpu"), ensemble=8)
    torch.testing.assert_close(
        ensemble.restore(batch.noisy.flip(-1).transpose(-1, -2), batch),
        ensemble.restore(batch.noisy, batch).flip(-1).transpose(-1, -2),
    )


@pytest.mark.parametrize(
    ("recipe", "strategy", "message"),
    [
        (FANET_FAST, "response", r"the teacher tiny-grey-50 takes grey and the student planes\. Choose another"),
        (TINY_COLOUR, "hads", r"the teacher tiny-grey-50 takes grey and the student rgb\. Choose another"),
        (TINY.with_sigma(25.0, 25.0), "hads", "is for sigma 50 to 50, the student needs 25 to 25"),
        (TINY, "hmds", "is for sigma 50 to 50, the student needs 25 to 25"),
    ],
)
def test_other_teachers_are_refused_by_name(model: Path, recipe: Recipe, strategy: str, message: str) -> None:
    student = build_network(recipe.network, recipe.network_config(0))
    with pytest.raises(ModelError, match=message):
        distilled(strategy, model, recipe)(torch.device("cpu"), student)


def command(*arguments: Any) -> int:
    return main(["train", *map(str, arguments)])


def test_the_command_trains_at_a_sigma(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "tiny-grey", replace(TINY, steps=2))
    data = tmp_path / "data"
    data.mkdir()
    for path in folder.iterdir():
        (data / path.name).symlink_to(path)
    (data / "raw.dng").write_bytes(b"never read")
    out = tmp_path / "run"
    asked = ("--recipe", "tiny-grey", "--data", data, "--out", out, "--threads", 1)
    assert command(*asked, "--sigma", 25, "--noise-model", "awgn") == 0
    shown = capsys.readouterr()
    assert "raw.dng: a raw file, but this recipe needs finished pictures" in shown.err
    state = load_checkpoint(out)
    assert state is not None
    assert state.recipe["recipe"]["low"] == state.recipe["recipe"]["high"] == 25
    assert json.loads(json.dumps(state.recipe))["recipe"]["noise"]["model"] == "awgn"
    assert command(*asked) == 5
    assert "recipe.low 25.0 -> 50.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--recipe", "fanet-fast", "--subrange", 0, "--sigma", 50),
            "has sensor noise, to which --sigma does not apply",
        ),
        (("--recipe", "fanet-fast"), "recipe fanet-fast has subranges 0 to 3: choose one with --subrange"),
        (
            ("--recipe", "fanet-fast", "--subrange", 0, "--noise-model", "awgn"),
            "choose a recipe whose name ends in grey",
        ),
        (
            ("--recipe", "mdrn-2b-grey", "--noise-model", "eld"),
            "recipe mdrn-2b-grey has awgn noise, and eld is for another",
        ),
        (("--recipe", "mdrn-2b-grey", "--sigma", "much"), "'much' is no sigma such as 50"),
        (("--recipe", "mdrn-2b-grey", "--sigma", 0), "sigma 0 to 0 is not a range above 0 and up to 255"),
        (("--recipe", "mdrn-2b-grey", "--sigma", "55-5"), "sigma 55 to 5 is not a range"),
        (("--recipe", "mdrn-2b-grey", "--subrange", 1), "has subranges 0 to 0, not 1"),
        (("--recipe", "mdrn-2b-grey"), "recipe mdrn-2b-grey needs pictures: name their folder with --data"),
    ],
)
def test_what_the_command_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[Any, ...], message: str
) -> None:
    assert command(*arguments, "--out", tmp_path / "run") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_tensorboard_shows_grey_pictures(pictures: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(pictures, tmp_path / "run", replace(TINY, steps=1), validate_every=1)
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    picture = iio.imread(events.Images("noisy, restored, clean")[-1].encoded_image_string)
    assert picture.shape == (3 * 16, 4 * 16, 3)
    np.testing.assert_array_equal(picture[..., 0], picture[..., 2])

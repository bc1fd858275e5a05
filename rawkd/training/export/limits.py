"""The limitations that a model card states."""

from __future__ import annotations

from rawkd.training.config import Recipe

OF_NOISE = {
    "poisson-gaussian": (
        "trained on synthetic Poisson-Gaussian noise: does not remove row noise, banding or other patterns"
    ),
    "eld": "trained on synthetic noise of extreme low light (ELD): does not remove patterns that ELD does not model",
}
LAMPS = "within about ten pixels of a lamp in a dark scene, much of the noise stays"
"""Lamps among the training crops change little: 0.27 of the noise stays in place of 0.28."""
WITHOUT_SMOOTHED_NOISE = (
    "not made for noise that the camera has already smoothed (lossy raw formats, in-camera noise reduction)"
)
OF_PICTURES = (
    "trained only on additive white Gaussian noise of known strength, for comparison with published tables",
    "developed photographs do not have such noise, and the model cannot denoise raw files",
)


def limits_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the known limitations of a network that a recipe trains, one sentence each."""
    if recipe.input != "planes":
        return OF_PICTURES
    smoothed = () if recipe.noise.smoothed else (WITHOUT_SMOOTHED_NOISE,)
    return (OF_NOISE[recipe.noise.model], LAMPS, *smoothed)

"""The limitations that a model card states: what a network was not trained on."""

from __future__ import annotations

from rawkd.training.config import Recipe

OF_NOISE = {
    "poisson-gaussian": (
        "trained on synthetic Poisson-Gaussian noise: does not remove row noise, banding or other patterns"
    ),
    "eld": "trained on synthetic noise of extreme low light (ELD): does not remove patterns that ELD does not model",
}
WITHOUT_LAMPS = "within about ten pixels of a lamp in a dark scene, much of the noise stays"
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
    lamps = () if recipe.lamps else (WITHOUT_LAMPS,)
    smoothed = () if recipe.noise.smoothed else (WITHOUT_SMOOTHED_NOISE,)
    return (OF_NOISE[recipe.noise.model], *lamps, *smoothed)

"""Load the network of a photo in the background, while the photo is read and its noise is estimated.

Nothing here changes a result: `restore` chooses network and tiles itself, and finds them ready if they were foreseen.
It raises and reports the same errors again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

import numpy as np

from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.engines import gpu_in_sight
from rawkd.inference.openvino_library import import_openvino
from rawkd.photo import RawPhoto
from rawkd.restore.context import Context, engine_of, student_of
from rawkd.restore.mosaic import tile_shape
from rawkd.restore.options import DenoiseOptions
from rawkd.sensor.iso_prior import iso_prior
from rawkd.sensor.noise import NoiseModel


def import_ahead(options: DenoiseOptions) -> Thread | None:
    """Import OpenVINO in the background, if the options need it; return the thread, or None."""
    on_cpu = options.device == "cpu" or (options.device == "auto" and gpu_in_sight() is None)
    return _in_background(import_openvino) if on_cpu and not options.keeps_everything else None


def load_ahead(
    photo: RawPhoto,
    options: DenoiseOptions,
    context: Context,
    noise: NoiseModel | None = None,
    *,
    restoring: Event | None = None,
) -> Thread | None:
    """Load, test and compile the network of a photo in the background, if it can be foreseen.

    Parameters
    ----------
    photo : with the size and CFA phase that will be restored.
    noise : the noise if it is known already. Otherwise the student is the one for the usual gain at the photo's ISO; if
        its noise then asks for another, that one is loaded too.
    restoring : set when the photo is restored: from then on nothing more is begun, because `restore` knows the noise
        and loads and compiles what it needs. None if nothing sets it.

    Returns
    -------
    The thread, or None if nothing is loaded or no thread can be started.
    """
    expected = _expected_noise(photo, options, noise)
    if options.keeps_everything or expected is None:
        return None
    return _in_background(lambda: _load(photo, options, context, expected, restoring or Event()))


def _expected_noise(photo: RawPhoto, options: DenoiseOptions, noise: NoiseModel | None) -> NoiseModel | None:
    """Return the known noise, or else that of the ISO; None if the ISO is unknown."""
    if noise is None and options.noise is not None:
        gain, read_variance = options.noise
        noise = NoiseModel(np.array(gain), np.array(read_variance), "given")
    prior = iso_prior(photo.capture) if noise is None else None
    noise = noise if prior is None else prior.model()
    return None if noise is None else noise.for_cfa(photo.pattern)


def _load(photo: RawPhoto, options: DenoiseOptions, context: Context, noise: NoiseModel, restoring: Event) -> None:
    card, _ = student_of(photo, noise, options, context)
    if card is None or restoring.is_set():
        return
    engine, _ = engine_of(card, noise, options, context.engines)
    if isinstance(engine, OpenVINOEngine) and not restoring.is_set():
        area = photo.active_area
        engine.compile(tile_shape((area.height, area.width), photo.pattern, card))


def _in_background(work: Callable[[], object]) -> Thread | None:
    """Start the work in a thread that reports no errors; return None where the system allows no more threads."""

    def quietly() -> None:
        with suppress(Exception):
            work()

    thread = Thread(target=quietly, name="ahead")
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread

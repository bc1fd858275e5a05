"""Measure what the PSNR of photos hides: stars, wrong pixels, lamps, fine lines, print, flat fields, edges, bias.

    python benchmarks/scenes.py NETWORK... [--gain 1.5e-3]... [--pictures DIR] [--full] [--lowest]

NETWORK is a shipped model, or the folder of a model, a run or a snapshot. Scenes are drawn, noise has fixed seeds and
known parameters, networks run in float32 with the local means put right. Takes less than two minutes for a network of
40 GMAC/MP on two idle cores; --full also looks at 10 megapixels of empty sky instead of 2.

Night, at gain 2e-4 and read variance 3.4e-7:

- stars: the part of their light that is left, by peak in standard deviations of the sky (widths of 1.6 to 3.6 px);
- red, blue, green, amber: the same of lights of one colour, also at each --gain;
- false: pixels more than 5 raw deviations above a sky without stars;
- hot, very hot, cold: the part of a wrong pixel's amplitude that is left, and the largest mean error of its neighbours
  within 12 px, in deviations; after the search for defects, and by the network alone;
- ring: what is left of a dark wall's noise beside a blown disc, rms in deviations; also if the disc is not dimmed.

Day, at each --gain (default: 2e-4, 1.5e-3 and 1.2e-2), read variance on the prior line:

- lines, weaves and print, five deviations high (or 0.16 of white): the part of the amplitude that is left;
- flat: a field at 15 % of white, the standard deviation that is left, and that of Gr - Gb smoothed over 4 pixels, both
  in per cent of the level, after and before;
- casts: the largest error of the mean of a colour in black discs on coloured ground, in levels of the disc (0.6 % of
  white), by radius;
- greens: Gr - Gb, smoothed over 4 pixels, on dark ground 4 to 24 px from bright edges and far from them, rms in
  deviations.

With --pictures, the folder of the training photos, of which those held out are used:

- smoothed, at each --gain: PSNR lost when the noise of each plane is smoothed by [0.2 0.6 0.2] in both directions and
  scaled back to its variance;
- bias at gain 2.5e-2, where DN 0 is a deviation below black, in thousandths of the mean signal.

With --lowest: blown discs and bars on black at very low gains, PSNR in dB after and before.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from day_scenes import (
    PERIODS_PX,
    blown_edges,
    clipped_bias,
    flat_field,
    greens_beside_edges,
    kept_of_patterns,
    shadow_casts,
    smoothed_loss,
)
from held_out import clean_planes
from night_scenes import (
    ALL_FALSE_FRAMES,
    BINS,
    COLOURS,
    FALSE_FRAMES,
    RINGS,
    false_points,
    rings,
    stars,
    wrong_pixels,
)
from script_errors import without_traceback
from trained_network import TrainedNetwork

from rawkd.photo import CFAPattern, FloatArray
from rawkd.training.data.synthesize import Camera, camera_at

NIGHT = replace(camera_at(2e-4), read_variance=3.4e-7)
WRONG = {"hot": (6.0, 50.0), "very hot": (50.0, 500.0), "cold": (-12.0, -6.0)}
GAINS = (2e-4, 1.5e-3, 1.2e-2)
LOWEST = (1e-7, 1e-6, 2e-6, 8e-6)


def print_night(network: TrainedNetwork, false_frames: int) -> None:
    """Print the measures of the night."""
    print_lights(network, NIGHT, {"stars": (1.0, 1.0, 1.0), **COLOURS}, "  ")
    print(f"  false pixels {false_points(network, NIGHT, false_frames)} in {false_frames * 0.262144:.0f} MP")
    for search in (True, False):
        for kind, found in wrong_pixels(network, NIGHT, WRONG, search=search).items():
            print(f"  {kind} {found}" + ("" if search else " (network alone)"))
    for dims_lights in (True, False):
        left = zip(RINGS, rings(network, NIGHT, dims_lights=dims_lights), strict=True)
        parts = ", ".join(f"{a}-{b} px: {part:.2f}" for (a, b), part in left)
        print(f"  ring {parts}" + ("" if dims_lights else " (one look)"), flush=True)


def print_lights(network: TrainedNetwork, camera: Camera, colours: Mapping[str, Sequence[float]], indent: str) -> None:
    """Print the part of their light that stars and coloured lights keep."""
    for name, colour in colours.items():
        kept = zip(BINS, stars(network, camera, colour), strict=True)
        print(f"{indent}{name} " + ", ".join(f"{low}-{high}: {part:.2f}" for (low, high), part in kept), flush=True)


def print_day(network: TrainedNetwork, gain: float, pictures: list[FloatArray]) -> None:
    """Print the measures at one gain."""
    camera = camera_at(gain)
    print(f"  at gain {gain:g}, periods {PERIODS_PX} px")
    for kind, kept in kept_of_patterns(network, camera).items():
        print(f"    {kind} " + " ".join(f"{part:.2f}" for part in kept))
    print_lights(network, camera, COLOURS, "    ")
    after, greens, before, greens_before = flat_field(network, camera)
    print(f"    flat {after:.2f} % ({before:.2f}), Gr - Gb {greens:.2f} % ({greens_before:.2f})")
    near, far = greens_beside_edges(network, camera)
    casts = ", ".join(f"{radius} px: {cast:+.2f}" for radius, cast in shadow_casts(network, gain).items())
    print(f"    casts {casts}")
    print(f"    greens beside edges {near:.3f}, far {far:.3f}", flush=True)
    if pictures:
        print(f"    smoothed {smoothed_loss(network, camera, pictures):.2f} dB", flush=True)


@without_traceback
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--gain", type=float, action="append")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--lowest", action="store_true")
    options = parser.parse_args()
    where = options.pictures
    pictures = clean_planes(where, 512, 0, CFAPattern.RGGB, options.networks)["half"] if where else []
    for name in options.networks:
        network = TrainedNetwork(name)
        print(name)
        print_night(network, ALL_FALSE_FRAMES if options.full else FALSE_FRAMES)
        for gain in options.gain or GAINS:
            print_day(network, gain, pictures)
        if pictures:
            alone, with_means, noisy = clipped_bias(network, pictures)
            print(f"  bias {alone:.1f} per mille, with local means {with_means:.1f} (noisy {noisy:.1f})")
        for gain in LOWEST if options.lowest else ():
            after, before = blown_edges(network, gain)
            print(f"  blown edges at gain {gain:g}: {after:.1f} dB ({before:.1f})", flush=True)


if __name__ == "__main__":
    main()

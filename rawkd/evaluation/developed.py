"""Develop mosaics of every kind of sensor to sRGB, and score the pictures."""

from __future__ import annotations

import weakref

import numpy as np

from rawkd.evaluation.datasets.case import Case, Values
from rawkd.files.read.decode import Decoder
from rawkd.metrics import gmsd, psnr, ssim
from rawkd.photo import CFAPattern, FloatArray, Mosaic, RawPhoto, Rect
from rawkd.render.color import LUMA, ProcessMetadata, color_correct, gamma
from rawkd.render.isp import process
from rawkd.render.xtrans import demosaic_xtrans
from rawkd.sensor.cfa import pack, unify

SRGB_RULE = {
    "srgb": "white balance, clip, demosaicing (Bayer bilinear; X-Trans by Markesteijn's method, one pass; monochrome "
    "stays grey), camera to sRGB, clip, gamma 2.2 (Brooks et al. 2019, without tone curve), both sides alike; PSNR "
    "over all channels, SSIM as above, mean of the channels; GMSD of their luma"
}
"""The rule of `SrgbScores`."""


class SrgbScores:
    """Scores of pictures after the minimal ISP, by `SRGB_RULE`; keeps LibRaw's process for X-Trans."""

    def __init__(self) -> None:
        self._decoder: Decoder | None = None

    def of(self, restored: Mosaic, case: Case) -> Values:
        """Return PSNR, SSIM and GMSD of a result against the reference of its case, both developed.

        Returns nothing if the case has no reference or no colour data, or is an X-Trans mosaic without its photo.
        """
        if case.reference is None or case.color is None or (restored.pattern.kind == "xtrans" and case.photo is None):
            return {}
        after, truth = (self._developed(mosaic, case.color, case.photo) for mosaic in (restored, case.reference))
        return {
            "srgb_psnr_db": psnr(after, truth),
            "srgb_ssim": ssim(after, truth, channel_axis=0),
            "srgb_gmsd": gmsd(_luma(after), _luma(truth)),
        }

    def _developed(self, mosaic: Mosaic, color: ProcessMetadata, photo: RawPhoto | None) -> FloatArray:
        """Render a mosaic by `SRGB_RULE`, (3, H, W) in 0..1, or (1, H, W) of a monochrome sensor."""
        if mosaic.pattern.kind == "mono":
            return np.asarray(gamma(mosaic.data))[None]
        if mosaic.pattern.kind == "xtrans" and photo is not None:
            return np.asarray(gamma(color_correct(self._demosaiced(mosaic, color, photo), color.rgb_from_camera)))
        unified, unification = unify(mosaic)
        return np.stack([unification.undo(channel) for channel in process(pack(unified), color)])

    def _demosaiced(self, mosaic: Mosaic, color: ProcessMetadata, photo: RawPhoto) -> FloatArray:
        """Return the white-balanced colours of an X-Trans mosaic, (3, H, W)."""
        if self._decoder is None:
            self._decoder = Decoder()
            weakref.finalize(self, self._decoder.close)
        gains = np.array([color.gains["RGB".index(colour)] for colour in CFAPattern.XTRANS.colours], np.float32)

        def balance(planes: FloatArray, _: FloatArray | None) -> FloatArray:
            balanced: FloatArray = np.clip(planes * gains[:, None, None], 0, 1)
            return balanced

        whole = Rect(0, 0, *mosaic.data.shape)
        found = demosaic_xtrans(photo, mosaic, whole, balance, self._decoder.demosaic, 1, maps=(), threads=1)
        return np.concatenate([signal for _, signal in found.strips()], axis=1)


def _luma(picture: FloatArray) -> FloatArray:
    """Return the luma by the weights of Rec. 601, as the authors of GMSD do, (H, W); of one channel, the channel."""
    return picture[0] if len(picture) == 1 else np.asarray(np.tensordot(np.array(LUMA, np.float32), picture, 1))

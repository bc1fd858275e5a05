"""The colours of a raw file: white balance and matrices of a DNG, of LibRaw, or daylight."""

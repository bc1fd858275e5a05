"""Sensor physics: noise, noise transforms, defective pixels, and the Bayer mosaic."""

"""The physics of a sensor: noise, its transform, and the Bayer mosaic."""

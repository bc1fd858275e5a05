"""Render a mosaic to a picture: demosaicing, colour, tone."""

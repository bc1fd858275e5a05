"""Plug-ins and menu entries that start rawkd from other programs: where they go, installing and removing them."""

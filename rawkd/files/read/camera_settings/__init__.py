"""Decode camera settings from maker notes, for display only; they never change pixels."""

from rawkd.files.read.camera_settings.settings import CameraSettings, read_settings

__all__ = ["CameraSettings", "read_settings"]

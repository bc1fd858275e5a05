"""What the camera wrote about its own settings, decoded for display and never used for pixels."""

from rawkd.files.read.camera_settings.settings import CameraSettings, read_settings

__all__ = ["CameraSettings", "read_settings"]

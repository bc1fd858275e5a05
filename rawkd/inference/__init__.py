"""Running a student on a photo."""

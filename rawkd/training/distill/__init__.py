"""Teachers, and the trainings that need one."""

"""Engines on the CPU: OpenVINO, its compiled shapes, and whether bf16 is faster."""

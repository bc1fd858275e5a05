"""Engines on the CPU: OpenVINO, its graphs and compiled shapes, and whether bf16 pays."""

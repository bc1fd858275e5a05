"""Engines on the CPU: OpenVINO, its compiled shapes, and which precision is fastest."""

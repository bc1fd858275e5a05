"""Rewrites of a network's graph before OpenVINO compiles it: the same values, computed with less copying."""

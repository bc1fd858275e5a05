"""Log scalars and example pictures of a run for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from rawkd.training.data.dataset import Batch
from rawkd.training.losses.terms import developed

PICTURES = 4


class TensorBoardLog:
    """Writes scalars and pictures of one run to its folder; does nothing without a folder or without TensorBoard.

    Its file is created by the first `write`, so that a run without a validation leaves none.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.writer: Any = None

    def write(self, step: int, values: dict[str, float], network: nn.Module, batch: Batch) -> None:
        """Write values by name, and the first crops of `batch` as rows: noisy, restored, clean."""
        if self.folder is None:
            return
        if self.writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return
            self.writer = SummaryWriter(str(self.folder))
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        few = batch.first(PICTURES).to(next(network.parameters()).device)
        with torch.no_grad():
            stages = few.noisy, network(few.noisy), few.clean
            rows = [developed(planes, few) for planes in stages]
        sheet = torch.cat([torch.cat(list(row), -1) for row in rows], -2)
        self.writer.add_image("noisy, restored, clean", sheet.float().clamp(0, 1).cpu(), step)
        self.writer.flush()

    def close(self) -> None:
        """Write pending data and close the log."""
        if self.writer is not None:
            self.writer.close()

"""Read blocks of pictures from MATLAB files: version 5 with scipy, version 7.3 (HDF5) with h5py; arrays and cells.

MATLAB stores the first index fastest, so HDF5 shows every array with its axes reversed. The functions here return axes
in MATLAB's order. A 7.3 file is read block by block. A version 5 array is interleaved over its whole file, so it is
loaded into memory once, without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError, UsageError
from rawkd.photo import FloatArray

if TYPE_CHECKING:
    import h5py

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
DOWNLOAD_AGAIN = "Download it again."


class Blocks(Protocol):
    """An array of pictures, as in a benchmark's file.

    Attributes
    ----------
    shape : the leading axes, such as (40, 32) or (1024,).
    """

    shape: tuple[int, ...]

    def block(self, *index: int) -> FloatArray:
        """Return one picture, (H, W) float32."""
        ...


@contextmanager
def open_blocks(path: Path, names: tuple[str, ...], axes: int) -> Iterator[Blocks]:
    """Open the pictures of a file's first variable among `names`, or of its only variable.

    Parameters
    ----------
    axes : number of leading axes; a cell array has only these, a numeric array has two more.

    Raises
    ------
    InputError: if the file is missing, is not a MATLAB file, or has no such array. UsageError: if h5py is missing.
    """
    if _is_hdf5(path):
        with open_hdf5(path) as file:
            yield _HDF5Blocks(path, file, _dataset(path, file, names), axes)
    else:
        yield _MemoryBlocks(path, _load_v5(path, names), axes)


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a MATLAB 7.3 file.

    Raises
    ------
    InputError: if it is missing or not an HDF5 file. UsageError: if h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise UsageError(f"{path}: MATLAB 7.3 files need h5py. Install rawkd[bench].") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a MATLAB 7.3 file ({error}). {DOWNLOAD_AGAIN}") from error
    with file:
        yield file


def read_hdf5(path: Path, dataset: Any, index: Any = ()) -> NDArray[Any]:
    """Read a dataset, or the part at `index`, with the axes in HDF5's order.

    Raises
    ------
    InputError: if its compression is not supported, or it is damaged.
    """
    try:
        return np.asarray(dataset[index])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: {dataset.name} cannot be read ({error}); its compression is not supported, or the file is damaged"
        ) from error


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            head = stream.read(520)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check the name.") from error
    return head.startswith(HDF5_MAGIC) or head[512:].startswith(HDF5_MAGIC)


def _load_v5(path: Path, names: tuple[str, ...]) -> NDArray[Any]:
    try:
        from scipy.io import loadmat, whosmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise UsageError(f"{path}: MATLAB files need scipy: pip install 'rawkd[bench]'") from error
    try:
        name = _choose(path, [entry[0] for entry in whosmat(path)], names)
        return np.asarray(loadmat(path, variable_names=[name])[name])
    except (MatReadError, ValueError, TypeError, OSError, EOFError, NotImplementedError) as error:
        raise InputError(f"{path}: cannot be read as a MATLAB file ({error}). {DOWNLOAD_AGAIN}") from error


def _dataset(path: Path, file: h5py.File, names: tuple[str, ...]) -> Any:
    return file[_choose(path, [name for name in file if not name.startswith("#")], names)]


def _choose(path: Path, present: list[str], names: tuple[str, ...]) -> str:
    for name in names:
        if name in present:
            return name
    if len(present) == 1:
        return present[0]
    raise InputError(
        f"{path}: has no variable {names[0]}, only {', '.join(present) or 'none'}. Give the data set's own file."
    )


def _picture(path: Path, data: NDArray[Any]) -> FloatArray:
    """Return a block as float32; uint16 codes 0..65535 are scaled to 0..1."""
    if data.ndim != 2:
        raise InputError(
            f"{path}: a block of shape {data.shape} is not a mosaic. Give the file of raw blocks, not the sRGB one."
        )
    if data.dtype == np.uint16:
        return (data / np.float32(65535)).astype(np.float32)
    if data.dtype.kind != "f":
        raise InputError(f"{path}: a block of type {data.dtype} is not raw data. Give the file of raw blocks.")
    return np.ascontiguousarray(data, np.float32)


class _MemoryBlocks:
    """Blocks of a version 5 file, held in memory."""

    def __init__(self, path: Path, data: NDArray[Any], axes: int) -> None:
        if data.dtype == object:
            data = data.reshape([size for size in data.shape if size > 1] or [1]) if axes == 1 else data
        if data.ndim != (axes if data.dtype == object else axes + 2):
            raise InputError(f"{path}: the shape {data.shape} is not that of this data set's blocks. {DOWNLOAD_AGAIN}")
        self._path = path
        self._data = data
        self.shape: tuple[int, ...] = data.shape[:axes]

    def block(self, *index: int) -> FloatArray:
        """Return one block."""
        return _picture(self._path, np.asarray(self._data[index]))


class _HDF5Blocks:
    """Blocks of a version 7.3 file, read one by one."""

    def __init__(self, path: Path, file: h5py.File, dataset: Any, axes: int) -> None:
        self._path = path
        self._file = file
        self._dataset = dataset
        self._is_cell = dataset.dtype == object
        shape = tuple(reversed(dataset.shape))
        if self._is_cell and axes == 1:
            shape = tuple(size for size in shape if size > 1) or (1,)
        if len(shape) != (axes if self._is_cell else axes + 2):
            raise InputError(f"{path}: the shape {shape} is not that of this data set's blocks. {DOWNLOAD_AGAIN}")
        self.shape: tuple[int, ...] = shape[:axes]

    def block(self, *index: int) -> FloatArray:
        """Return one block; a cell array is followed to the block that its cell refers to."""
        if not self._is_cell:
            return _picture(self._path, read_hdf5(self._path, self._dataset, (..., *reversed(index))).T)
        place = tuple(reversed(index))
        if self._dataset.ndim > len(place):
            place = tuple(place[0] if size > 1 else 0 for size in self._dataset.shape)
        reference = read_hdf5(self._path, self._dataset, place).item()
        return _picture(self._path, read_hdf5(self._path, self._file[reference]).T)

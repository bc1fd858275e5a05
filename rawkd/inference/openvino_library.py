"""Import OpenVINO safely, and run the parts of a graph: for its engines on the CPU and on Intel GPUs."""

from __future__ import annotations

import sys
from functools import cache
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from rawkd.errors import ModelError
from rawkd.photo import FloatArray

CONVERTER = "openvino.tools.ovc"
FIRST_USE, FIRST_CORE = Lock(), Lock()


def import_openvino() -> ModuleType:
    """The module openvino, imported without its model converter, whose import sends an event to a web service.

    `import openvino` imports the converter if it is there, so the converter is hidden during the import. rawkd does not
    need it: the runtime reads ONNX itself.

    The bindings build a table of types at first use and release the interpreter lock while they do: two threads that
    start this at once deadlock. So the first use happens here, one thread at a time.

    Raises
    ------
    ModelError: if OpenVINO cannot be loaded on this machine.
    """
    with FIRST_USE:
        hide = "openvino" not in sys.modules and CONVERTER not in sys.modules
        if hide:
            sys.modules[CONVERTER] = None  # type: ignore[assignment]
        try:
            import openvino
        except ImportError as error:
            raise ModelError(f"OpenVINO cannot be loaded ({error}): install the package openvino again") from error
        finally:
            if hide:
                del sys.modules[CONVERTER]
        openvino.Type.f32.to_dtype()
    return openvino  # type: ignore[no-any-return]


def openvino_core() -> Any:
    """OpenVINO's object for devices and compiled networks: one for the whole process, never released.

    On Linux, the CPU plugin gives its thread a signal stack and frees that memory with the last network compiled. If
    another thread releases that network, the first thread keeps the freed memory as its signal stack, and the next
    signal with a handler, such as Ctrl-C, overwrites whatever is there now (OpenVINO 2026.4, CPUs with AVX-512).

    Raises
    ------
    ModelError: if OpenVINO cannot be loaded on this machine.
    """
    with FIRST_CORE:  # threads that come first together must not make two
        return _core()


@cache
def _core() -> Any:
    return import_openvino().Core()


def through(requests: list[Any], planes: FloatArray) -> FloatArray:
    """The output of the last part of a graph; each part takes the outputs of the one before."""
    values: Any = [np.ascontiguousarray(planes)]
    for request in requests:
        results = request.infer(dict(enumerate(values)), share_inputs=True, share_outputs=True)
        values = [results[place] for place in range(len(results))]
    restored: FloatArray = np.array(values[0])  # a copy, because the request is used for the next tile
    return restored

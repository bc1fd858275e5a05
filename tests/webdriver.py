"""A real browser for tests: chromedriver spoken to directly (W3C WebDriver, over HTTP on the loopback)."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    " --disable-sync --force-device-scale-factor=1 --window-size=1000,900"
)
KEYS = {"ArrowRight": "\ue014", "ArrowLeft": "\ue012", "Home": "\ue011", "End": "\ue010"}


def programs() -> tuple[str, str] | None:
    """Chromium and its driver, where both are installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@dataclass
class Browser:
    """One window."""

    session: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return _call(self.session + path, method, body)

    def open(self, page: Path) -> None:
        self.call("POST", "/url", {"url": page.as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector: str) -> str:
        return str(self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT])

    def picture(self, element: str) -> np.ndarray:
        """(h, w, 3) uint8 of what the element looks like."""
        png = base64.b64decode(self.call("GET", f"/element/{element}/screenshot"))
        return np.asarray(Image.open(BytesIO(png)).convert("RGB"))

    def drag(self, kind: str, element: str, begin: int, end: int) -> None:
        """Press at `begin`, move to `end` and let go; pixels right of the element's centre. kind : mouse or touch."""
        origin = {ELEMENT: element}
        steps = [
            {"type": "pointerMove", "duration": 0, "origin": origin, "x": begin, "y": 0},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "duration": 50, "origin": origin, "x": end, "y": 0},
            {"type": "pointerUp", "button": 0},
        ]
        finger = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": steps}
        self.call("POST", "/actions", {"actions": [finger]})
        self.call("DELETE", "/actions")

    def press(self, element: str, key: str) -> None:
        self.call("POST", f"/element/{element}/value", {"text": KEYS[key]})


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A window with an empty profile in `folder`, offline but for the loopback by Chromium's own flags."""
    found = programs()
    assert found is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([found[1], f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address)
        flags = [*FLAGS.split(), f"--user-data-dir={folder}"]
        options = {"goog:chromeOptions": {"binary": found[0], "args": flags}}
        answer = _call(address + "/session", "POST", {"capabilities": {"alwaysMatch": options}})
        window = Browser(f"{address}/session/{answer['sessionId']}")
        try:
            yield window
        finally:
            window.call("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(10)


def _wait(address: str) -> None:
    for _ in range(200):
        try:
            if _call(address + "/status", "GET", None)["ready"]:
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("chromedriver does not answer")


def _call(url: str, method: str, body: Any) -> Any:
    data = None if method != "POST" else json.dumps(body or {}).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error

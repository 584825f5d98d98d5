"""Headless Chromium, spoken to over a pipe (its DevTools protocol): a page opened, measured, photographed."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
# Chromium reads its orders from descriptor 3 and answers on 4.
START = """
import fcntl, os, sys
orders, answers = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(orders, 3), os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
PATIENCE = 120  # seconds; a busy machine may take some
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


class Browser:
    """One page. `complaints`: what its console said and what it failed to load, in order."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._waiting, self._number, self._session = b"", 0, None
        self.complaints: list[str] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        attached = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")

    def open(self, page: Path | str, width: int, *, dark: bool = False) -> None:
        """Load a file, or an address, into a window `width` CSS pixels wide, once more: nothing is left of the page before."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])
        address = page if isinstance(page, str) else page.as_uri()
        self._send("Page.navigate", url=address)
        self._wait("Page.loadEventFired")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives on the page; of a promise, what it comes to."""
        told = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        found = self._send("Runtime.evaluate", **told)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait for a JavaScript expression to hold."""
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < end, f"it never came to {expression}"
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Put text where the focus is."""
        self._send("Input.insertText", text=text)

    def key(self, name: str, times: int = 1) -> None:
        """Press Tab, Enter or Backspace."""
        code = {"Tab": 9, "Enter": 13, "Backspace": 8}[name]
        told: dict[str, Any] = {"key": name, "code": name, "windowsVirtualKeyCode": code}
        told |= {"text": "\r"} if name == "Enter" else {}
        for _ in range(times):
            self._send("Input.dispatchKeyEvent", type="keyDown", **told)
            self._send("Input.dispatchKeyEvent", type="keyUp", **told)

    def photograph(self, to: Path, height: int | None = None) -> None:
        """The page as PNG: all of it, or its first `height` pixels."""
        clip = {"x": 0, "y": 0, "scale": 1, "width": self.value("innerWidth")}
        clip["height"] = height or self.value("document.documentElement.scrollHeight")
        told = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        to.write_bytes(base64.b64decode(self._send("Page.captureScreenshot", **told)["data"]))

    def pages_printed(self) -> int:
        """How many sheets of paper it takes."""
        pdf = base64.b64decode(self._send("Page.printToPDF", printBackground=True)["data"])
        return pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ")

    def _send(self, method: str, **told: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": told}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _wait(self, event: str) -> None:
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        """The next message; messages end with a zero byte."""
        while b"\0" not in self._waiting:
            if not select.select([self._read], [], [], PATIENCE)[0]:
                raise TimeoutError(f"Chromium says nothing for {PATIENCE} s")
            got = os.read(self._read, 1 << 16)
            if not got:
                raise RuntimeError("Chromium has ended")
            self._waiting += got
        message, self._waiting = self._waiting.split(b"\0", 1)
        told = json.loads(message)
        if told.get("method") in (
            "Log.entryAdded",
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Network.loadingFailed",
        ):
            self.complaints.append(json.dumps(told["params"]))
        return told


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser that has never been used before, ended behind the block."""
    assert PROGRAM
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    flags = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(theirs_in), str(theirs_out), PROGRAM, *flags],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        process.kill()
        process.wait()
        os.close(ours_out)
        os.close(ours_in)

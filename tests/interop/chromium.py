"""
A headless Chromium that a test drives by its DevTools protocol.

Lives here: starting and ending it, pages, what they log, screenshots. Does not: what a page ought to show.
"""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import websocket
from running import Program, eventually

PROGRAM = "chromium"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--mute-audio", "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0",
)  # fmt: skip
"""It runs as the user of the tests, in a container too, and reaches nothing but 127.0.0.1."""


class Browser:
    """directory: where its profile and log are kept."""

    def __init__(self, directory: Path) -> None:
        self._profile = directory / "profile"
        self._program = Program(
            [PROGRAM, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            directory / "chromium.log",
            ready=(self._profile / "DevToolsActivePort").exists,
            env={"HOME": str(directory)},
        )
        where = self._profile / "DevToolsActivePort"
        port, path = eventually(lambda: where.read_text().split() if len(where.read_text().split()) == 2 else None)
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", timeout=30, suppress_origin=True)
        self._number = 0
        self.pages: dict[str, Page] = {}

    def send(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """The result of a command; events that come meanwhile go to their pages."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(command | ({"sessionId": session} if session else {})))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            page = self.pages.get(message.get("sessionId", ""))
            if page is not None:
                page.take(message)

    def open(self, url: str, width: int = 1280, height: int = 900, dark: bool = False, phone: bool = False) -> Page:
        """A page of its own, with a session storage of its own, as a new tab."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.send("Emulation.setEmulatedMedia", features=[scheme])
        page.send("Page.navigate", url=url)
        eventually(lambda: page.run("document.readyState === 'complete'"), 20)
        return page

    def stop(self) -> None:
        self._socket.close()
        self._program.stop()


class Page:
    """
    complaints: errors and warnings that it logged, exceptions that were not caught, and what failed to load. provoked:
    texts of those that a test causes; they are left out whenever they come, which may be long after what they are about
    is shown.
    """

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser, self._target, self._session = browser, target, session
        self.complaints: list[str] = []
        self.provoked: list[str] = []
        self.asked: list[str] = []

    def take(self, event: dict[str, Any]) -> None:
        method, found = event["method"], event["params"]
        if method == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in found["args"]))
        elif method == "Runtime.exceptionThrown":
            details = found["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
            text = f"{found['entry']['text']} {found['entry'].get('url', '')}"
            if not any(one in text for one in self.provoked):
                self.complaints.append(text)
        elif method == "Network.requestWillBeSent":
            self.asked.append(found["request"]["url"])

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.send(method, self._session, **parameters)

    def run(self, script: str) -> Any:
        """The value of an expression, awaited."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """What a reader sees of the first such element, blanks joined; "" when there is none."""
        shown = self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return re.sub(r"\s+", " ", shown).strip()

    def shows(self, text: str, selector: str = "body", seconds: float = 15.0) -> bool:
        """Whether it shows that, soon."""
        return bool(eventually(lambda: text in self.text(selector), seconds, 0.1))

    def _place(self, selector: str) -> str:
        """What finds the element, which has to be there soon."""
        place = f"document.querySelector({json.dumps(selector)})"
        assert eventually(lambda: self.run(f"!!{place}"), 10), f"no {selector} in: {self.text()[:2000]}"
        return place

    def click(self, selector: str) -> None:
        """Presses the mouse on the middle of an element."""
        place = self._place(selector)
        where = f"(r => [r.x + r.width / 2, r.y + r.height / 2])({place}.getBoundingClientRect())"
        # A page that is being filled moves what is to be pressed: it has to stand where it stood.
        steps = f"(async () => {{ {place}.scrollIntoView({{block: 'center'}}); const before = {where}; "
        steps += f"await new Promise((go) => setTimeout(go, 120)); return [before, {where}]; }})()"
        seen = eventually(lambda: (found := self.run(steps))[0] == found[1] and found[1], 10)
        assert seen, f"{selector} does not stand still"
        x, y = seen
        for what in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=what, x=x, y=y, button="left", clickCount=1)

    def write(self, selector: str, text: str) -> None:
        """Types into a field, in the place of what it has."""
        self.run(f"(e => (e.focus(), e.select && e.select()))({self._place(selector)})")
        self.send("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "") -> None:
        """A key, such as 'ArrowRight', 39."""
        for what in ("keyDown", "keyUp"):
            extra = {"text": text} if text and what == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=what, key=key, code=key, windowsVirtualKeyCode=code, **extra)

    def picture(self, path: Path, whole: bool = True) -> None:
        """A PNG of the page, all of it or what fits into the window."""
        time.sleep(0.3)  # bars grow
        picture = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self) -> None:
        self._browser.send("Target.closeTarget", targetId=self._target)

"""A studio under 5,000 requests of 32 clients: every answer is the right one, and its memory does not grow.

    make soak            # or: python tests/soak/studio_requests.py --requests 5000 --clients 32

A small run is trained first. Requests ground uploaded images (a new one each time, and one that is cached), pick
listed images, search nothing, send wrong ids and broken files, and go away in the middle. The memory of the process is
read after a tenth of the requests and at the end. Exits with 1 if an answer was wrong or memory grew by more than 5 %.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
from PIL import Image

_CAPTION = "a man holds a red guitar next to a dog"


def unboxed(*arguments: str) -> list[str]:
    """The command line of the product."""
    return [sys.executable, "-m", "unboxed", *arguments]


def make_run(folder: Path) -> Path:
    """Trains a small run."""
    world, run = folder / "world", folder / "run"
    for command in (
        unboxed("scenes", str(world), "--train", "40", "--val", "10", "--test", "10"),
        unboxed("fit", "ckd", "--data", str(world / "data.toml"), "--out", str(run), "--epochs", "1"),
    ):
        subprocess.run(command, check=True, capture_output=True)
    return run


def memory(process: subprocess.Popen[str]) -> float:
    """Resident memory of a process in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1e3


def png(random_: random.Random) -> bytes:
    """An image that no other request has."""
    image = Image.effect_noise((random_.randrange(60, 200), random_.randrange(60, 200)), random_.uniform(20, 90))
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "PNG")
    return stream.getvalue()


class Clients:
    """Sends requests and counts the answers.

    Args:
        port: of the studio on this machine.
    """

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._address = ("127.0.0.1", port)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
        self._listed = [photo["id"] for photo in self._client.get("/api/photos").json()["photos"]]
        self._cached = png(random.Random(0))
        self._lock = threading.Lock()

    def send(self, number: int) -> None:
        """One request; what it is depends on its number alone."""
        random_ = random.Random(number)
        kind = random_.choice(["new", "cached", "listed", "picture", "facts", "unknown", "broken", "gone"])
        if kind == "gone":
            with contextlib.suppress(OSError), socket.create_connection(self._address, timeout=10) as connection:
                connection.sendall(b"POST /api/ground HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\nhalf")
            status, expected = 0, 0
        else:
            status, expected = self._answer(kind, random_)
        with self._lock:
            self.answers[f"{kind} {status}"] += 1
            if status not in (expected, 429):
                self.wrong.append(f"request {number}, {kind}: {status} instead of {expected}")

    def _answer(self, kind: str, random_: random.Random) -> tuple[int, int]:
        if kind == "facts":
            return self._client.get("/api/facts").status_code, 200
        if kind == "picture":
            path = f"/api/photos/{random_.choice(self._listed)}/picture"
            return self._client.get(path, params={"size": random_.choice(["thumbnail", "full"])}).status_code, 200
        form = {"caption": _CAPTION}
        if kind in ("listed", "unknown"):
            form["photo_id"] = random_.choice(self._listed) if kind == "listed" else "p" + "0" * 24
            return self._client.post("/api/ground", data=form).status_code, 200 if kind == "listed" else 404
        content = {"new": png(random_), "cached": self._cached, "broken": self._cached[:60]}[kind]
        answer = self._client.post("/api/ground", data=form, files={"photo": ("a.png", content)})
        return answer.status_code, 422 if kind == "broken" else 200


def main() -> int:
    """Starts the studio, sends the requests and prints what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = make_run(folder)
        command = unboxed("studio", str(run), "--images", str(folder / "world" / "images"), "--port", "0")
        studio = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            return soak(studio, options.requests, options.clients)
        finally:
            studio.terminate()


def soak(studio: subprocess.Popen[str], requests: int, clients: int) -> int:
    """Sends the requests; 0 if all is well, else 1."""
    assert studio.stdout is not None
    port = next(int(found[1]) for line in studio.stdout if (found := re.search(r"Studio: http://[^:]+:(\d+)/", line)))
    threading.Thread(target=studio.stdout.read, daemon=True).start()  # so that its log never fills the pipe
    sender, began = Clients(port), time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(sender.send, range(requests // 10)))
        before = memory(studio)
        list(pool.map(sender.send, range(requests // 10, requests)))
    after = memory(studio)
    for answer, count in sorted(sender.answers.items()):
        print(f"{count:6,}  {answer}")
    print(f"{requests:,} requests of {clients} clients in {time.monotonic() - began:.0f} s")
    print(f"memory: {before:.0f} MB after a tenth, {after:.0f} MB at the end ({after / before - 1:+.1%})")
    print("\n".join(sender.wrong[:20]) or "every answer was the right one")
    return 1 if sender.wrong or after > 1.05 * before else 0


if __name__ == "__main__":
    raise SystemExit(main())

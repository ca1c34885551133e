"""Studio: response time for one image, and for sixteen clients at once.

The service runs as in production, on a local address, and receives HTTP requests. *New image* sends an image that the
service has not seen, 384 pixels wide, with a caption of four phrases; *same image* sends a second caption for it.
*Large image* is a new image enlarged to the 12 million pixels of a telephone. Then sixteen clients send requests at
the same time, each with different images. Finally more clients send requests than the queue accepts; each must receive
either boxes, or status 429 with a time to try again. The run is trained for one epoch: the response time does not
depend on the quality of the model.
"""

from __future__ import annotations

import io
import json
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Result, SkippedError, Target, shared_folder

TARGETS = (
    Target("new image, median", "answer.new_ms", "at most", 250, "ms"),
    Target("sixteen clients, errors", "crowd.errors", "at most", 0),
    Target("beyond the queue, neither boxes nor 429", "overflow.other", "at most", 0),
)

_CAPTIONS = (
    "A man in a red shirt plays a guitar beside a dog.",
    "Two children in blue coats run across the grass with a ball.",
)
_ROUNDS, _CLIENTS, _REQUESTS, _OVERFLOW = 30, 16, 4, 80


def measure(show: Callable[[str], None]) -> Result:
    """Milliseconds and requests per second."""
    shared = shared_folder()
    contents = [path.read_bytes() for path in sorted((shared / "data/flickr8k_images_384_sample/images").glob("*.jpg"))]
    if len(contents) < _ROUNDS:
        raise SkippedError(f"{len(contents)} images of 384 pixels; {_ROUNDS} are needed")
    with tempfile.TemporaryDirectory() as folder, _service(_run(shared, Path(folder))) as address:
        show("one client")
        new, same, large = [], [], []
        for number, content in enumerate(contents[:_ROUNDS]):
            seconds, _, answer = _request(address, _CAPTIONS[0], image=content)
            new.append(seconds)
            same.append(_request(address, _CAPTIONS[1], photo_id=json.loads(answer)["photo"]["id"])[0])
            if number % 6 == 0:
                large.append(_request(address, _CAPTIONS[0], image=_enlarged(content, number))[0])
        show(f"{_CLIENTS} clients")
        crowd = _simultaneous(address, contents, _CLIENTS, _REQUESTS)
        show(f"{_OVERFLOW} clients")
        overflow = _simultaneous(address, contents, _OVERFLOW, 1)
    served = [seconds for seconds, status in crowd.answers if status == 200]
    statuses = [status for _, status in overflow.answers]
    return {
        "answer": {
            "new_ms": 1000 * statistics.median(new),
            "same_ms": 1000 * statistics.median(same),
            "large_ms": 1000 * statistics.median(large),
        },
        "crowd": {
            "errors": float(len(crowd.answers) - len(served)),
            "median_s": statistics.median(served) if served else 0.0,
            "requests_per_s": len(served) / crowd.seconds,
        },
        "overflow": {
            "answered": float(statuses.count(200)),
            "told_to_wait": float(statuses.count(429)),
            "other": float(sum(status not in (200, 429) for status in statuses)),
        },
    }


class _Responses(NamedTuple):
    """Seconds and status of each request of simultaneous clients, and seconds for all of them."""

    answers: list[tuple[float, int]]
    seconds: float


def _simultaneous(address: str, contents: list[bytes], clients: int, requests: int) -> _Responses:
    barrier = threading.Barrier(clients)

    def client(number: int) -> list[tuple[float, int]]:
        barrier.wait()
        answers = []
        for turn in range(requests):
            image = _as_new_file(contents[(number + turn) % len(contents)])
            answers.append(_request(address, _CAPTIONS[turn % 2], image=image)[:2])
        return answers

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = [answer for found in pool.map(client, range(clients)) for answer in found]
    return _Responses(answers, time.perf_counter() - start)


def _request(address: str, caption: str, image: bytes | None = None, photo_id: str = "") -> tuple[float, int, bytes]:
    """Seconds, status and body of one request."""
    boundary = uuid.uuid4().hex
    fields = {"caption": caption} | ({"photo_id": photo_id} if photo_id else {})
    prefix = f'--{boundary}\r\nContent-Disposition: form-data; name="'
    parts = [f'{prefix}{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    if image is not None:
        parts += [f'{prefix}photo"; filename="p.jpg"\r\n\r\n'.encode(), image, b"\r\n"]
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    request = urllib.request.Request(address, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return time.perf_counter() - start, answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return time.perf_counter() - start, error.code, error.read()
    except OSError:
        return time.perf_counter() - start, 0, b""


def _as_new_file(content: bytes) -> bytes:
    """The same image as a different file: bytes after the end of a JPEG are ignored."""
    return content + uuid.uuid4().bytes


def _enlarged(content: bytes, number: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        scale = (12e6 / (image.width * image.height)) ** 0.5
        size = (round(image.width * scale) + number % 2, round(image.height * scale))
        image.resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _run(shared: Path, folder: Path) -> Path:
    """A run of `ckd` with the semantic prior and three networks on real images."""
    import csv

    from unboxed.data.dataset import load_dataset
    from unboxed.recipes.ckd import CKD
    from unboxed.recipes.schedule import Schedule
    from unboxed.training.fitting import FitSettings, fit

    images, weights = shared / "data/flickr8k_images_384_sample/images", shared / "weights"
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(["image", "caption"])
        for example in load_dataset(shared / "data/flickr.toml").split("val").examples:
            if (images / f"{example.image_id}.jpg").is_file():
                rows.writerows((f"{example.image_id}.jpg", caption.text) for caption in example.captions)
    networks = {
        "detector": "nanodet_plus_m_416_coco80.onnx",
        "segmenter": "deeplabv3_mnv2_ade32.onnx",
        "backbone": "mobilenet_edgetpu_imagenet1001.onnx",
    }
    lines = [f'format = "table"\nimages = "{images}"\nannotations = "captions.csv"\n\n[regions]']
    lines += [f'{name} = "{weights / file}"' for name, file in networks.items()]
    (folder / "data.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = CKD(prior="semantic", schedule=Schedule(epochs=1))
    fit("ckd", options, FitSettings(folder / "data.toml", folder / "run"))
    return folder / "run"


@contextmanager
def _service(run: Path) -> Iterator[str]:
    """The address of `/api/ground` of a studio on a free port."""
    import socket

    import uvicorn

    from unboxed.studio.serve import open_studio

    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    server = uvicorn.Server(uvicorn.Config(open_studio(run), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/ground"
    finally:
        server.should_exit = True
        thread.join()

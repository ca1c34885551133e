"""The HTTP service: its responses, and the requests that it rejects."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import unboxed.studio
from unboxed.data.dataset import Dataset
from unboxed.errors import NoRegionsError, RunError
from unboxed.inference.grounder import Grounder
from unboxed.studio.options import Limits

PAGE = Path(unboxed.studio.__file__).parent / "page"
CAPTION = "a red box beside a blue box"

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def client(make_studio: Make, drawn: Dataset) -> Iterator[TestClient]:
    with TestClient(make_studio(dataset=drawn), base_url="http://localhost:8321") as client:
        yield client


def _png(width: int = 96, height: int = 64) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "#c22").save(stream, "PNG")
    return stream.getvalue()


def _ground(client: TestClient, **form: Any) -> httpx2.Response:
    files = {"photo": form.pop("photo")} if "photo" in form else None
    return client.post("/api/ground", data={"caption": CAPTION, **form}, files=files)


# Responses


def test_the_page_loads_nothing_but_its_own_files(client: TestClient) -> None:
    for path in PAGE.iterdir():
        answer = client.get("/" if path.name == "index.html" else f"/{path.name}")
        assert answer.status_code == 200
        text = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"(^|\s)//.*", "", text), path.name  # comments, but no address of another site
        assert not re.search(r"<style|<script>|\sstyle=|\son\w+=", text) or path.suffix == ".js"
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_the_description_is_there_and_needs_no_network(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert {"/api/ground", "/api/browse", "/api/search", "/api/photos"} <= set(described["paths"])
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_an_uploaded_image_is_grounded_as_in_python(client: TestClient, grounder: Grounder, images: Path) -> None:
    answer = _ground(client, photo=("3.png", (images / "3.png").read_bytes()), top=4).json()
    expected = grounder.ground(images / "3.png", CAPTION)
    assert [phrase["text"] for phrase in answer["phrases"]] == ["a red box", "a blue box"]
    for got, phrase in zip(answer["phrases"], expected.phrases, strict=True):
        np.testing.assert_allclose(got["boxes"], phrase.boxes[:4], atol=0.06)
        np.testing.assert_allclose(got["scores"], phrase.scores[:4], atol=1e-4)
    assert np.shape(answer["attention"]) == (len(answer["words"]), len(answer["regions"]))
    assert answer["photo"]["name"] == "3.png"


def test_a_second_caption_needs_only_the_id(client: TestClient, make_studio: Make) -> None:
    first = _ground(client, photo=("p.png", _png())).json()
    again = _ground(client, photo_id=first["photo"]["id"], caption="a red box").json()
    assert again["photo"] == {**first["photo"], "name": "The image"}  # whoever asks may not be who sent it
    other = _ground(client, photo=("q.png", _png())).json()
    assert other["photo"] == {**first["photo"], "name": "q.png"}
    assert _ground(client, photo_id="0" * 64).status_code == 404
    assert _ground(client).status_code == 404
    with TestClient(make_studio(limits=Limits(cached=1)), base_url="http://localhost") as forgetful:
        first = _ground(forgetful, photo=("p.png", _png())).json()
        _ground(forgetful, photo=("q.png", _png(80)))
        assert "send it again" in _ground(forgetful, photo_id=first["photo"]["id"]).json()["detail"]


def test_a_listed_image_is_picked_by_its_id(client: TestClient) -> None:
    listed = client.get("/api/photos", params={"name": "1", "start": 1, "count": 3}).json()
    assert listed["total"] == 13  # 1, 10 to 19, 21 and 31
    assert [photo["name"] for photo in listed["photos"]] == ["10.png", "11.png", "12.png"]
    chosen = listed["photos"][0]["id"]
    assert _ground(client, photo_id=chosen).json()["photo"] == {
        "id": chosen, "name": "10.png", "width": 96, "height": 64, "shape": [96, 64],
    }  # fmt: skip
    picture = client.get(f"/api/photos/{chosen}/picture", params={"size": "thumbnail"})
    with Image.open(io.BytesIO(picture.content)) as image:
        assert (image.format, image.size) == ("JPEG", (96, 64))


def test_boxes_are_downloaded_as_shown(client: TestClient) -> None:
    answer = _ground(client, photo=("p.png", _png())).json()
    scores = sorted((score for phrase in answer["phrases"] for score in phrase["scores"][:2]), reverse=True)
    least = (scores[1] + scores[2]) / 2
    fields = {"caption": CAPTION, "photo_id": answer["photo"]["id"], "top": 2, "least": least, "absent": True}

    def file(form: str, suffix: str, name: str = "holiday.png", **more: Any) -> str:
        got = client.post(f"/api/export/{form}", data={**fields, "name": name, **more})
        assert got.headers["content-disposition"] == f'attachment; filename="boxes.{suffix}"'
        return got.text

    plain, coco = json.loads(file("json", "json")), json.loads(file("coco", "coco.json"))
    table = list(csv.DictReader(io.StringIO(file("csv", "csv"))))
    assert sum(len(phrase["boxes"]) for phrase in plain["phrases"]) == len(coco["annotations"]) == len(table) == 2
    assert coco["images"][0]["file_name"] == table[0]["image"] == plain["photo"] == "holiday.png"
    shown = {(phrase["text"], round(score, 4)) for phrase in answer["phrases"] for score in phrase["scores"][:2]}
    assert {(row["phrase"], round(float(row["score"]), 4)) for row in table} <= shown
    assert client.post("/api/export/exe", data=fields).status_code == 404


def test_a_search_responds_with_lines_of_json(client: TestClient, make_studio: Make) -> None:
    news = [json.loads(line) for line in client.get("/api/search", params={"text": "a box", "k": 3}).iter_lines()]
    assert all(line["searched"] == 40 for line in news)
    assert [hit["photo"]["name"] for hit in news[-1]["hits"]] == ["0.png", "1.png", "10.png"]
    assert news[-1]["hits"][0]["phrases"][0]["boxes"] == [[8, 16, 40, 48]]
    assert client.get(f"/api/photos/{news[-1]['hits'][0]['photo']['id']}/picture").status_code == 200
    assert client.get("/api/search", params={"text": "?!"}).status_code == 422
    with TestClient(make_studio(index=False), base_url="http://localhost") as bare:
        assert "--index" in bare.get("/api/search", params={"text": "a box"}).json()["detail"]
        assert "--data" in bare.get("/api/browse").json()["detail"]
        assert bare.get("/api/facts").json()["index"] is None


def test_captions_are_filtered_by_outcome_and_type(client: TestClient, make_studio: Make, drawn: Dataset) -> None:
    facts = client.get("/api/facts").json()["data"]
    assert (facts["photos"], facts["captions"], facts["has_gold"]) == (6, 30, True)

    def captions(**wanted: str) -> list[Any]:
        items, start = [], 0
        while start is not None:
            page = client.get("/api/browse", params={"count": 7, "start": start, **wanted}).json()
            items, start = items + page["items"], page["next"]
        return items

    with TestClient(make_studio(dataset=drawn, limits=Limits(page_seconds=0)), base_url="http://localhost") as slow:
        page = slow.get("/api/browse").json()  # no time at all: one caption, and where to go on
        assert (len(page["items"]), page["next"], page["looked_at"]) == (1, 1, 1)

    every, right = captions(), captions(outcome="right", type="people")
    assert len(every) == 30

    def is_right(item: Any) -> bool:
        return any(p["outcome"] == "ok" and "people" in p["types"] for p in item["phrases"])

    assert [item["caption"] for item in right] == [item["caption"] for item in every if is_right(item)]
    for item in captions(outcome="wrong"):
        assert any(p["outcome"] not in (None, "ok") and p["gold"] for p in item["phrases"])
    assert client.get("/api/browse", params={"outcome": "lucky"}).status_code == 422


def test_a_session_without_a_token_needs_no_cookie(client: TestClient) -> None:
    session = client.post("/api/session", json={"token": "any"})
    assert session.status_code == 204
    assert "set-cookie" not in session.headers


# Rejections


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (b"just text, named like an image", r"photo.jpg \(30 bytes\) is not an image"),
        (b"", "is empty"),
        (_png()[:-30], "truncated or damaged"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not an image"),
    ],
)
def test_a_file_that_is_not_an_image_is_an_error(client: TestClient, photo: bytes, message: str) -> None:
    answer = _ground(client, photo=("photo.jpg", photo, "image/jpeg"))
    assert answer.status_code == 422
    assert re.search(message, answer.json()["detail"])
    assert client.post("/api/picture", files={"photo": ("photo.jpg", photo)}).status_code == 422


def test_uploads_and_texts_have_a_limit(make_studio: Make) -> None:
    limits = Limits(megabytes=0.01, megapixels=0.01, caption=60)
    with TestClient(make_studio(limits=limits), base_url="http://localhost") as small:
        assert "larger than 0.01 MB" in _ground(small, photo=("p.png", bytes(100_000))).json()["detail"]
        pieces = (bytes(10_000) for _ in range(20))  # no Content-Length
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        assert small.post("/api/ground", content=pieces, headers=kind).status_code == 413
        pixels = _ground(small, photo=("p.png", _png(200, 51)))
        assert pixels.status_code == 422
        assert "200 x 51 = 10,200 pixels, the limit is 10,000" in pixels.json()["detail"]
        assert _ground(small, photo=("p.png", _png()), caption="a box " * 11).status_code == 413
        assert "no words" in _ground(small, photo=("p.png", _png()), caption="…").json()["detail"]
        assert _ground(small, photo=("p.png", _png()), top=1000).status_code == 422


def test_sixteen_requests_at_once_are_all_answered(make_studio: Make) -> None:
    answers = asyncio.run(_at_once(make_studio(), 16))
    assert [answer.status_code for answer in answers] == [200] * 16


def test_a_full_queue_is_an_error_with_a_time_to_wait(make_studio: Make) -> None:
    release = threading.Event()

    def slow(cache: Any) -> None:
        extract = cache.extract
        cache.extract = lambda *given: (release.wait(20), extract(*given))[1]

    app = make_studio(limits=Limits(workers=1, waiting=1), change=slow)
    answers = asyncio.run(_at_once(app, 5, release))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
    busy = next(answer for answer in answers if answer.status_code == 429)
    assert int(busy.headers["retry-after"]) >= 1
    assert "try again in" in busy.json()["detail"]


def test_a_request_that_takes_too_long_is_an_error(make_studio: Make) -> None:
    release = threading.Event()

    def stuck(cache: Any) -> None:
        cache.extract = lambda *_: release.wait(20)

    with TestClient(make_studio(limits=Limits(seconds=0.1), change=stuck), base_url="http://localhost") as client:
        answer = _ground(client, photo=("p.png", _png()))
        release.set()
    assert answer.status_code == 503
    assert "longer than 0.1 s" in answer.json()["detail"]


@pytest.mark.parametrize("error", [RunError("The run in /secret is damaged."), ValueError("/secret")])
def test_an_internal_error_is_logged_and_not_shown(
    make_studio: Make, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(cache: Any) -> None:
        def extract(*_: Any) -> None:
            raise error

        cache.extract = extract

    app = make_studio(change=broken)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = _ground(client, photo=("p.png", _png()))
    assert answer.status_code == 500
    assert answer.json()["detail"] == "The request failed; the log of the studio has the details."
    assert "/secret" in caplog.text


def test_an_image_without_a_region_is_an_error_that_is_shown(make_studio: Make) -> None:
    def blind(cache: Any) -> None:
        def extract(*_: Any) -> None:
            raise NoRegionsError("No source proposed a region.")

        cache.extract = extract

    with TestClient(make_studio(change=blind), base_url="http://localhost") as client:
        answer = _ground(client, photo=("p.png", _png()))
    assert (answer.status_code, answer.json()["detail"]) == (422, "No source proposed a region.")


async def _at_once(app: Any, count: int, release: threading.Event | None = None) -> list[httpx2.Response]:
    """Send `count` requests at once. `release` is set when the others have been rejected."""
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:

        async def one(n: int) -> httpx2.Response:
            files = {"photo": (f"{n}.png", _png(80 + n))}
            return await client.post("/api/ground", data={"caption": CAPTION}, files=files, timeout=60)

        tasks = [asyncio.create_task(one(n)) for n in range(count)]
        if release is not None:
            until = time.monotonic() + 20
            while sum(task.done() for task in tasks) < count - 2 and time.monotonic() < until:
                await asyncio.sleep(0.01)
            release.set()
        return await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/page/index.html",
        "/__init__.py",
        "/api/photos/..%2f..%2fdata.toml/picture",
        "/api/photos/%2Fetc%2Fpasswd/picture",
        "/api/photos/0.png/picture",
        "/api/photos/%00/picture",
    ],
)
def test_no_file_is_reached_by_a_path(client: TestClient, path: str) -> None:
    url = type(client.base_url)("http://localhost:8321").copy_with(
        raw_path=path.encode()
    )  # httpx or httpx2, by version
    assert client.get(url).status_code == 404


def test_a_path_is_not_an_id(client: TestClient, images: Path) -> None:
    for name in ("0.png", str(images / "0.png"), "../photos/0.png", "\0"):
        assert _ground(client, photo_id=name).status_code == 404

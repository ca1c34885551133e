"""Correction of labels through the service: changes are on the disk, others' changes are not overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from unboxed.errors import BusyError, StudioError
from unboxed.export.corrections_file import read_corrections
from unboxed.export.labels_file import companion
from unboxed.runtime.locks import file_lock
from unboxed.studio.corrector import Corrector
from unboxed.studio.image_library import ImageLibrary
from unboxed.studio.options import Limits, StudioAddress, StudioSources
from unboxed.studio.serve import serve

Make = Callable[..., Any]


@pytest.fixture
def client(make_studio: Make, out: Path) -> Iterator[TestClient]:
    with TestClient(make_studio(labels=out), base_url="http://localhost") as client:
        yield client


def _ids(client: TestClient, which: str = "all") -> list[str]:
    return [entry["id"] for entry in client.get("/api/labels", params={"which": which}).json()["photos"]]


def _change(client: TestClient, photo_id: str, changes: int, action: str, **more: Any) -> Any:
    return client.post(f"/api/labels/{photo_id}", json={"action": action, "changes": changes, **more})


def test_every_change_is_answered_with_the_image_and_is_on_the_disk(client: TestClient, out: Path) -> None:
    assert client.get("/api/facts").json()["labels"] == 3
    first, *_ = _ids(client)
    image = client.get(f"/api/labels/{first}").json()
    assert image["captions"] == ["<b>A box</b>"] and image["changes"] == 0
    (box,) = image["boxes"]
    assert (box["number"], box["name"], box["box"], box["phrase"]) == (0, "box", [8, 8, 40, 40], "A box")
    assert (box["score"], box["confidence"], box["verdict"]) == (0.5, 0.7, "")
    changes = [
        ("move", {"box": 0, "edges": [10, 10, 50, 50]}),
        ("rename", {"box": 0, "text": "crate"}),
        ("phrase", {"box": 0, "text": "a crate"}),
        ("add", {"edges": [0, 0, 5, 5], "text": "toy"}),
        ("reject", {"box": 1}),
        ("undo", {}),
        ("check", {}),
    ]
    seen = 0
    for action, more in changes:
        response = _change(client, first, seen, action, **more)
        assert response.status_code == 200, response.text
        image = response.json()
        seen = image["changes"]
        state = read_corrections(companion(out, "corrections"))["0.png"]
        assert len(state.history) == seen and [box.number for box in state.boxes] == [
            b["number"] for b in image["boxes"]
        ]
    assert [(box["name"], box["phrase"], box["verdict"]) for box in image["boxes"]] == [
        ("crate", "a crate", "accepted"),
        ("toy", "toy", "accepted"),
    ]
    listed = client.get("/api/labels").json()
    assert (listed["checked"], listed["all"], listed["names"]) == (1, 3, ["box", "rest", "crate", "toy"])
    assert listed["photos"][0] == {"id": first, "name": "0.png", "boxes": 2, "checked": True}
    assert first not in _ids(client, "open") and _ids(client, "checked") == [first]
    coco = json.loads(client.get("/api/corrected/coco").text)
    assert [category["name"] for category in coco["categories"]] == ["box", "rest", "crate", "toy"]
    assert len(coco["annotations"]) == 4 and client.get("/api/corrected/csv").text.count("\n") == 5


def test_a_change_of_an_image_that_someone_else_changed_is_refused(client: TestClient) -> None:
    first, *_ = _ids(client)
    assert _change(client, first, 0, "reject", box=0).status_code == 200
    stale = _change(client, first, 0, "accept", box=0)
    assert stale.status_code == 409 and "Someone else" in stale.json()["detail"]
    assert client.get(f"/api/labels/{first}").json()["boxes"][0]["verdict"] == "rejected"


@pytest.mark.parametrize(
    "change",
    [
        {"action": "move", "box": 0},
        {"action": "move", "box": 0, "edges": [0, 0, 0, 0]},
        {"action": "move", "box": 0, "edges": [1, 2, 3]},
        {"action": "accept", "box": 7},
        {"action": "rename", "box": 0, "text": "x" * 501},
        {"action": "explode"},
        {},
    ],
)
def test_what_is_no_change_is_refused_and_nothing_is_written(
    client: TestClient, out: Path, change: dict[str, Any]
) -> None:
    first, *_ = _ids(client)
    response = client.post(f"/api/labels/{first}", json={"changes": 0, **change})
    assert response.status_code == 422 and response.json()["detail"]
    assert not companion(out, "corrections").exists()


def test_paths_are_no_ids_and_answers_have_none(client: TestClient, images: Path, out: Path) -> None:
    for wrong in ("nothing", "..%2f..%2fetc%2fpasswd", str(images / "0.png")):
        assert client.get(f"/api/labels/{wrong}").status_code == 404
        assert client.post(f"/api/labels/{wrong}", json={"action": "check", "changes": 0}).status_code in (404, 405)
    first, *_ = _ids(client)
    text = (
        client.get("/api/labels").text
        + client.get(f"/api/labels/{first}").text
        + client.get("/api/corrected/coco").text
    )
    assert str(images) not in text and str(out.parent) not in text
    assert client.get(f"/api/photos/{first}/picture", params={"size": "full"}).status_code == 200


def test_corrections_need_the_token_and_the_page_of_the_studio(make_studio: Make, out: Path) -> None:
    app = make_studio(labels=out, token="0123456789abcdef")
    with TestClient(app, base_url="http://localhost") as client:
        for path in ("/api/labels", "/api/labels/p0", "/api/corrected/csv"):
            assert client.get(path).status_code == 401
        headers = {"Authorization": "Bearer 0123456789abcdef"}
        first = client.get("/api/labels", headers=headers).json()["photos"][0]["id"]
        change = {"action": "reject", "box": 0, "changes": 0}
        assert client.post(f"/api/labels/{first}", json=change).status_code == 401
        for foreign in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
            assert client.post(f"/api/labels/{first}", json=change, headers=headers | foreign).status_code in (400, 403)
        assert not companion(out, "corrections").exists()
        assert client.post(f"/api/labels/{first}", json=change, headers=headers).status_code == 200


def test_a_studio_without_labels_prints_how_to_get_them(make_studio: Make, tmp_path: Path) -> None:
    with TestClient(make_studio(), base_url="http://localhost") as client:
        assert "--labels" in client.get("/api/labels").json()["detail"]
        assert client.get("/api/facts").json()["labels"] is None
    with pytest.raises(StudioError, match="unboxed label"):
        Corrector(ImageLibrary(Limits()), tmp_path / "none.json")


def test_one_studio_at_a_time_corrects_labels(tiny_run: Path, out: Path) -> None:
    with file_lock(companion(out, "corrections")), pytest.raises(BusyError):
        serve(tiny_run, StudioSources(labels=out), StudioAddress(port=0), Limits(), lambda line: None)

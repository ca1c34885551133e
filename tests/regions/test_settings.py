"""Region settings: values, fingerprints, and the JSON that earlier versions wrote."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unboxed.data import load_dataset
from unboxed.errors import RegionsError
from unboxed.regions.settings import ImportedRegions, RegionSettings, settings_from_dict
from unboxed.scenes import write_scenes
from unboxed.scenes.writing import DETECTOR

SAVED = Path(__file__).resolve().parents[1] / "assets" / "run_41071e2"


@pytest.fixture
def settings(tmp_path: Path) -> RegionSettings:
    """Settings that name a file or folder of every kind; their fingerprint does not depend on the folder."""
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_text(name[0])
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return RegionSettings(
        detectors=(tmp_path / "a.onnx", tmp_path / "b.onnx"),
        backbone=tmp_path / "b.onnx",
        class_names=tmp_path / "names.txt",
        detector_hf=str(tmp_path / "model"),
        backbone_hf="facebook/dino",
        nms=1,
        feature_maps=("c4",),
        texture=True,
        crops=True,
        evidence_sizes=(128,),
    )


GOLDEN = (
    '{"version": 1, "detectors": ["a.onnx", "b.onnx"], "segmenter": null, "backbone": "b.onnx", "detector_hf": '
    '"model", "backbone_hf": "facebook/dino", "class_names": "names.txt", "whole_image": true, "grid": 0, '
    '"segments": false, "parts": 3, "unions": 2, "stuff": 12, "top_k": 40, "nms": 1, "duplicate": 0.8, '
    '"score_threshold": 0.0, "member_score": 0.3, "detector_size": 448, "evidence_sizes": [128], '
    '"segmenter_size": 352, "backbone_size": 352, "feature_maps": ["c4"], "detector_features": true, "crops": true, '
    '"colour": true, "texture": true, "pixels": 0}'
)


def test_settings_are_written_as_they_always_were(settings: RegionSettings, tmp_path: Path) -> None:
    assert json.dumps(settings.to_dict(tmp_path)) == GOLDEN
    assert RegionSettings.from_dict(json.loads(GOLDEN), tmp_path) == settings


@pytest.mark.parametrize(("file", "key"), [("run/config.json", "regions"), ("run/store/store.json", "settings")])
def test_settings_of_an_earlier_version_are_read_and_written_alike(file: str, key: str) -> None:
    folder = (SAVED / file).parent
    values = json.loads((SAVED / file).read_text(encoding="utf-8"))[key]
    again = settings_from_dict(values, folder)
    assert again.detectors[0].is_relative_to(folder) and again.evidence_sizes == (320, 576)
    assert json.dumps(again.to_dict(folder)) == json.dumps(values)


def test_fingerprints_are_those_of_earlier_versions(settings: RegionSettings, tmp_path: Path) -> None:
    """A store is used again only with settings of its fingerprint, and an index remembers it."""
    values = json.loads((SAVED / "run/store/store.json").read_text(encoding="utf-8"))["settings"]
    (tmp_path / "models").mkdir()
    shutil.copy(DETECTOR, tmp_path / "models" / "detector.onnx")
    expected = {
        RegionSettings(): "5f5d8ed7cfb314b1501065591d9a5fd9e132e7a77680677f52893435f53223bb",
        RegionSettings.weight_free(): "d1c64dba5b34f78a11261e6122a44b40b713295c3c65d2cc1a840ee25a2c263d",
        ImportedRegions(
            imported="scan", boxes=False
        ): "d6a27dbbdde3b71e6bf8b69ba00951cd21142e8c9ba19030aae46cf85ecdc5a9",
        settings: "3ad8b636f9e85ad890e9f74d17748a228493e02a5c73f1ece39e3cf1bad9674f",
        settings_from_dict(values, tmp_path): "197f17e9257e211b28bf0a4b8d6efe86a47ce5c21e552795c21f8f7e6a49fb3a",
    }
    assert {one: one.fingerprint() for one in expected} == expected


def test_the_first_stores_had_no_further_sizes() -> None:
    values = RegionSettings().to_dict()
    del values["evidence_sizes"]
    assert RegionSettings.from_dict(values).evidence_sizes == ()


def test_settings_go_through_json_and_keep_their_fingerprint(settings: RegionSettings) -> None:
    again = RegionSettings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again.fingerprint() == settings.fingerprint()
    assert again.to_dict() == settings.to_dict()


def test_the_fingerprint_is_of_values_and_content(settings: RegionSettings, tmp_path: Path) -> None:
    copied = settings.copied_to(tmp_path / "elsewhere")
    assert [path.parent for path in copied.model_files.values()] == [tmp_path / "elsewhere"] * 5
    assert copied.fingerprint() == settings.fingerprint()
    assert settings.differences(copied) == []
    assert replace(settings, nms=0.5).fingerprint() != settings.fingerprint()
    (tmp_path / "names.txt").write_text("cat\nhen\n")
    assert copied.fingerprint() != settings.fingerprint()
    assert settings.differences(replace(copied, grid=4)) == [
        "class_names: names.txt there, names.txt here",
        "grid: 4 there, 0 here",
    ]


def test_every_model_file_is_hashed_once(settings: RegionSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    plain = Path.open

    def counting(self: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(self.name)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", counting)
    first = settings.fingerprint()
    assert sorted(opened) == ["a.onnx", "a.onnx", "b.onnx", "b.onnx", "config.json", "names.txt"]
    assert settings.fingerprint() == first
    assert len(opened) == 6  # an ONNX file is searched for the files of its weights, and hashed
    (settings.detectors[0].parent / "model" / "config.json").write_text("{ }")
    assert settings.fingerprint() != first
    assert opened.count("config.json") == 3  # hashed, written, hashed again


def test_copies_of_copies_stay_in_place(settings: RegionSettings, tmp_path: Path) -> None:
    copied = settings.copied_to(tmp_path / "models")
    assert copied.copied_to(tmp_path / "models") == copied
    assert {path.name for path in (tmp_path / "models").iterdir()} == {
        "a.onnx",
        "b.onnx",
        "names.txt",
        "model",
        "digests.json",
    }


def test_models_of_one_name_are_copied_under_two(settings: RegionSettings, tmp_path: Path) -> None:
    other = tmp_path / "other" / "a.onnx"
    other.parent.mkdir()
    other.write_text("not a")
    two = replace(settings, detectors=(settings.detectors[0], other))
    copied = two.copied_to(tmp_path / "models")
    assert [path.name for path in copied.detectors] == ["a.onnx", "a-2.onnx"]
    assert copied.fingerprint() == two.fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99"),
        ({"colours": True}, "unknown name 'colours'"),
        ({"grid": "3"}, "grid is '3'; expected int"),
        ({"whole_image": 1}, "whole_image is 1; expected bool"),
        ({"top_k": True}, "top_k is True"),
        ({"detectors": "a.onnx"}, r"detectors is 'a\.onnx'; expected tuple\[Path, \.\.\.\]"),
        ({"feature_maps": ["c4", 5]}, r"feature_maps is \['c4', 5\]; expected tuple\[str"),
        ({"evidence_sizes": [0]}, "evidence_sizes is 0; expected a number from 1"),
        ({"segmenter": 3}, "segmenter is 3; expected Path | None"),
        ({"detector_hf": False}, "detector_hf is False; expected str | None"),
        ({"backbone_size": 0}, "backbone_size is 0; expected a number from 1"),
        ({"top_k": -1}, "top_k is -1; expected a number from 0"),
        ({"nms": 2}, "expected a value in 0..1"),
        ({"grid": 2**31}, "grid is 2147483648; expected a number from 0 to 100"),
        ({"pixels": 10**30}, "pixels is too large; expected"),
    ],
)
def test_settings_that_cannot_be_read(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RegionsError, match=message):
        RegionSettings.from_dict({**RegionSettings().to_dict(), **change})


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(RegionsError, match="propose nothing"):
        RegionSettings(whole_image=False, pixels=3)
    with pytest.raises(RegionsError, match="crops needs a labeler or a backbone"):
        RegionSettings(crops=True)
    with pytest.raises(RegionsError, match="does not exist"):
        RegionSettings(detectors=(Path("nowhere.onnx"),)).fingerprint()


def test_the_models_that_a_dataset_names_are_the_default(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = load_dataset(tiny_dataset)
    assert RegionSettings.default_for(dataset)[0] == RegionSettings.weight_free()
    models = load_dataset(write_scenes(tmp_path / "world", train=1, val=1, test=1))
    settings, description = RegionSettings.default_for(models)
    assert [path.name for path in settings.detectors] == ["detector.onnx"] and not settings.segments
    assert description.startswith("Regions: the models that") and "data.toml names under [regions]" in description

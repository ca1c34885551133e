"""`config.json` of a run: read and written without a change, and refused with a clear error when it is damaged."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.errors import RunError, UnboxedError
from unboxed.inference.run_config import RunConfig
from unboxed.priors.settings import PriorSettings
from unboxed.recipes import RECIPES, recipe_from_dict, recipe_to_dict
from unboxed.recipes.ckd import CKD
from unboxed.scenes.writing import DETECTOR
from unboxed.text.settings import TextConfig

GOLDEN = Path(__file__).resolve().parents[1] / "assets" / "run_41071e2" / "run" / "config.json"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with the config of a run that commit 41071e2 wrote, and its detector."""
    (tmp_path / "regions").mkdir()
    shutil.copy(DETECTOR, tmp_path / "regions" / "detector.onnx")
    shutil.copy(GOLDEN, tmp_path / "config.json")
    return tmp_path


def test_a_config_is_written_as_it_was_read(run: Path) -> None:
    """Options that are newer than the file are added, with their defaults."""
    config = RunConfig.load(run)
    config.save(run)
    written = json.loads((run / "config.json").read_text(encoding="utf-8"))
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    defaults = recipe_to_dict(RECIPES[config.recipe]())
    assert written.pop("sha256")
    assert written == {**expected, "choices": _completed(expected["choices"], defaults)}


def _completed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values, nested ones too, with the defaults of those that are missing."""
    nested = {name: _completed(own, defaults[name]) for name, own in values.items() if isinstance(own, dict)}
    return {**defaults, **values, **nested}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "something"}, "is not the config of a run"),
        ({"version": 99}, "newer unboxed"),
        ({"recipe": "nothing"}, "names the recipe 'nothing'; known are infoground"),
        ({"choices": {"scale": "large"}}, "damaged.*scale is 'large'; expected float"),
        ({"choices": {"schedule": {"speed": 1}}}, "damaged.*schedule.speed"),
        ({"choices": {"schedule": {"epochs": -1}}}, "config.json: --epochs is -1"),
        ({"choices": {"scale": 10**400}}, "damaged.*scale is 1000.*; expected float"),
        ({"feature_blocks": [["x"]]}, "damaged"),
        ({"feature_blocks": [["x", 2**31]]}, "damaged.*the features are 2147483648 wide; expected 0 to 1000000"),
        ({"presence": {"slope": 1}}, "damaged"),
        ({"regions": []}, "damaged"),
        ({"choices": []}, "damaged"),
        ({"class_names": [7]}, "damaged.*is no list of texts"),
        ({"facts": {"train": 7}}, "damaged.*facts.train is 7"),
        ({"facts": {"best": {"seconds": "long"}}}, "damaged.*facts.best is"),
    ],
)
def test_a_damaged_config_is_named(run: Path, change: dict[str, object], message: str) -> None:
    content = json.loads(GOLDEN.read_text(encoding="utf-8"))
    (run / "config.json").write_text(json.dumps({**content, **change}), encoding="utf-8")
    with pytest.raises(UnboxedError, match=message):
        RunConfig.load(run)


@pytest.mark.parametrize("foreign", ["/etc/hostname", "../secret.txt", "regions/../../secret.txt"])
def test_a_run_names_no_file_outside_its_folder(run: Path, foreign: str) -> None:
    content = json.loads(GOLDEN.read_text(encoding="utf-8"))
    content["regions"]["class_names"] = foreign
    (run / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunError, match="as class_names of its regions, which is outside the run"):
        RunConfig.load(run)


@pytest.mark.parametrize("nothing", ["", ".", "regions/.."])
def test_a_run_names_files_and_not_itself(run: Path, nothing: str) -> None:
    content = json.loads(GOLDEN.read_text(encoding="utf-8"))
    content["regions"]["class_names"] = nothing
    (run / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunError, match="names no file as class_names of its regions"):
        RunConfig.load(run)


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="There is no folder"):
        RunConfig.load(tmp_path / "nowhere")
    with pytest.raises(RunError, match="it has no config"):
        RunConfig.load(tmp_path)


@given(
    name=st.sampled_from(sorted(RECIPES)),
    width=st.integers(1, 999),
    dropout=st.floats(0, 1, exclude_max=True),
    epochs=st.integers(1, 99),
)
def test_options_of_every_recipe_go_through_json(name: str, width: int, dropout: float, epochs: int) -> None:
    options = recipe_to_dict(RECIPES[name]()) | {"joint_width": width, "dropout": dropout}
    options["schedule"] = {**options["schedule"], "epochs": epochs}
    recipe = recipe_from_dict(name, json.loads(json.dumps(options)))
    assert type(recipe) is RECIPES[name]
    assert (recipe.joint_width, recipe.dropout, recipe.schedule.epochs) == (width, dropout, epochs)
    assert recipe_to_dict(recipe) == options


def test_without_paths_no_folder_of_this_disk_is_left(run: Path) -> None:
    config = RunConfig.load(run)
    config.facts.update(data="/home/somebody/scenes/data.toml", store="/home/somebody/store")
    config.facts["calibration"] = {"data": "/home/somebody/others.csv", "photos": 40}
    options = CKD(
        prior="clip:/home/somebody/clip/",
        semantic=PriorSettings(word_vectors=Path("/home/somebody/glove.npz"), wordnet=Path("nltk")),
        text_encoder=TextConfig(initial_vectors=Path("/home/somebody/glove.npz")),
    )
    public = replace(config, options=options).without_paths()
    public.save(run)
    assert "somebody" not in (run / "config.json").read_text()
    assert public.facts["calibration"] == {"data": "others", "photos": 40}
    assert public.facts["data"] == "scenes" and public.options.prior == "clip:clip"
    assert public.options.semantic.word_vectors == Path("glove.npz")
    texts = {name: replace(config, options=CKD(text=name)) for name in ("/home/somebody/bert", "google/bert", "gru")}
    assert [one.without_paths().options.text for one in texts.values()] == ["bert", "google/bert", "gru"]

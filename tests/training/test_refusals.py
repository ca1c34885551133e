"""A fit that is refused leaves nothing: no folder, and no store of regions that took hours."""

from __future__ import annotations

from pathlib import Path

import pytest

from unboxed.errors import RunError, UnboxedError
from unboxed.inference.run_config import RunConfig
from unboxed.priors.settings import PriorSettings
from unboxed.recipes import RecipeConfig
from unboxed.recipes.ckd import CKD
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.npair import NPair
from unboxed.recipes.scan import SCAN
from unboxed.recipes.sprm import SPRM
from unboxed.regions.settings import RegionSettings
from unboxed.text.settings import TextConfig
from unboxed.training.fitting import FitSettings, fit

_SEGMENTS = RegionSettings(segments=True)
_VECTORS = TextConfig(initial_vectors=Path("vectors.txt"))


@pytest.mark.parametrize(
    ("recipe", "options", "sources", "message"),
    [
        ("npair", NPair(), None, "leave out --regions"),
        ("npair", NPair(), _SEGMENTS, "--map pixels reads 4 x 4 pixels of every cell and nothing else"),
        ("scan", SCAN(text_encoder=_VECTORS), _SEGMENTS, "set --embedding-width 3"),
        ("infoground", InfoGround(text_encoder=_VECTORS, negatives="random"), None, "set --embedding-width 3"),
        ("ckd", CKD(semantic=PriorSettings(word_vectors=Path("none.txt"))), None, "no file of word vectors none.txt"),
        ("ckd", CKD(semantic=PriorSettings(class_map=Path("vectors.txt"))), RegionSettings(), "class map vectors.txt"),
    ],
)
def test_nothing_is_left_of_a_fit_that_is_refused(
    recipe: str,
    options: RecipeConfig,
    sources: RegionSettings | None,
    message: str,
    tiny_world: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vectors.txt").write_text("dog 1 2 3\n", encoding="utf-8")
    data, store = tiny_world
    if sources == RegionSettings():  # those of the dataset
        sources, store = None, None
    with pytest.raises(UnboxedError, match=message):
        fit(recipe, options, FitSettings(data, Path("run"), store if sources is None else None), sources=sources)
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.txt"]


@pytest.mark.parametrize("name", ["vocab.json", "prior/prior.json", "model.safetensors", "log.jsonl"])
@pytest.mark.parametrize("resume", [False, True])
def test_files_that_belong_to_no_run_are_not_replaced(
    name: str, resume: bool, tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    data, store = tiny_world
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    settings = FitSettings(data, tmp_path, store, resume=resume)
    with pytest.raises(RunError, match=r"is no run and holds .*, which would be replaced; choose another folder"):
        fit("sprm", SPRM(untrained=True, joint_width=32), settings)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_a_run_whose_start_was_interrupted_is_started_again(
    tiny_world: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, store = tiny_world
    (tmp_path / "notes.txt").write_text("mine")  # which no run replaces
    options, settings = SPRM(untrained=True, joint_width=32), FitSettings(data, tmp_path, store)
    with monkeypatch.context() as patch:
        patch.setattr(RunConfig, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit("sprm", options, settings)
    assert (tmp_path / "vocab.json").is_file() and not (tmp_path / "config.json").exists()
    left = tmp_path / ".tmpAbC456"
    left.touch()
    fit("sprm", options, settings)
    assert (tmp_path / "config.json").is_file() and not (tmp_path / ".start").exists() and not left.exists()


def test_a_cache_that_is_a_file_is_refused_before_any_region_is_found(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = FitSettings(tiny_dataset, tmp_path / "run", cache=tiny_dataset)
    with pytest.raises(UnboxedError, match=r"--cache .*data\.toml is a file; name a folder"):
        fit("scan", SCAN(), settings)
    assert not settings.out.exists()

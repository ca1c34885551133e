"""`unboxed compare`: what it passes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import unboxed
import unboxed.experiments.comparison
import unboxed.training.auto
from unboxed.cli import main
from unboxed.cli.compare import _is_drawn
from unboxed.data.dataset import load_dataset


def test_compare_passes_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        unboxed.experiments.comparison, "compare", lambda settings, show, is_drawn: given.append(settings)
    )
    main(["compare", "--data", "a.toml", "b.toml", "--out", "out", "--recipes", "ckd --distillation 3", "--seeds", "2"])
    (settings,) = given
    assert list(settings.data) == [Path("a.toml"), Path("b.toml")]
    assert (settings.recipes, settings.seeds) == (("ckd --distillation 3",), 2)


def test_datasets_of_scenes_are_recognized_by_their_detector(tiny_dataset: Path, tiny_world: tuple[Path, Path]) -> None:
    assert _is_drawn(load_dataset(tiny_world[0]))
    assert not _is_drawn(load_dataset(tiny_dataset))

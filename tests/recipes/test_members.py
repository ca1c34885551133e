"""Members of one run: each is trained as if it were alone, and they answer with their means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import unboxed
from unboxed.data.dataset import load_dataset
from unboxed.errors import ExportError, RunError
from unboxed.export.onnx import export_onnx
from unboxed.recipes import InfoGround, Schedule
from unboxed.recipes.members import members_of
from unboxed.recipes.model import MatchingModel
from unboxed.regions.store import RegionStore
from unboxed.training import fitting
from unboxed.training.fitting import FitSettings, fit

ONE = InfoGround(
    negatives="none", joint_width=8, hidden_width=8, embedding_width=8, dropout=0.0,
    schedule=Schedule(epochs=2, images_per_batch=8, clip=0.5, checkpoint_steps=2),
)  # fmt: skip
TWO = replace(ONE, members=2)

State = dict[str, torch.Tensor]


def _state(model: MatchingModel) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def trained(tiny_dataset: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[State]]:
    """A run of two members, and the weights that each of them started from."""
    run, started = tmp_path_factory.mktemp("members") / "run", []
    untrained = fitting.untrained_model

    def recorded(*arguments: Any) -> MatchingModel:
        model = untrained(*arguments)
        started.extend(_state(member) for member in members_of(model))
        return model

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fitting, "untrained_model", recorded)
        fit("infoground", TWO, FitSettings(tiny_dataset, run, tiny_run / "store"))
    return run, started


@pytest.mark.parametrize("member", [0, 1])
def test_a_member_equals_a_fit_of_its_own(
    member: int, trained: tuple[Path, list[State]], tiny_dataset: Path, tiny_run: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run, started = trained
    untrained = fitting.untrained_model

    def given(*arguments: Any) -> MatchingModel:
        model = untrained(*arguments)
        if member:  # the first has the weights of a single fit with this seed already
            model.load_state_dict(started[member])
        return model

    monkeypatch.setattr(fitting, "untrained_model", given)
    alone = fit("infoground", ONE, FitSettings(tiny_dataset, tmp_path / "run", tiny_run / "store"))

    grounder, store = unboxed.load(run), RegionStore.open(tiny_run / "store")
    expected, found = _state(alone.model), _state(members_of(grounder.model)[member])
    for name, value in expected.items():
        if value.ndim == 2:  # a bias before a batch norm has no gradient but rounding
            assert not torch.equal(value, started[member][name]), name
            torch.testing.assert_close(found[name], value, msg=name)
    example = load_dataset(tiny_dataset).split("train").examples[0]
    grounder.model = members_of(grounder.model)[member]
    regions, captions = [store[example.image_id]], list(example.captions)
    similarity = grounder.similarity(regions, captions), alone.similarity(regions, captions)
    torch.testing.assert_close(*similarity, atol=1e-3, rtol=1e-3)
    assert not torch.equal(*(own["text.embedding.weight"] for own in started))


def test_the_answer_is_the_mean_of_the_members(
    trained: tuple[Path, list[State]], tiny_dataset: Path, tiny_run: Path
) -> None:
    grounder, store = unboxed.load(trained[0]), RegionStore.open(tiny_run / "store")
    examples = load_dataset(tiny_dataset).split("train").examples[:3]
    regions, captions = [store[example.image_id] for example in examples], [e.captions[0] for e in examples]
    together = grounder.attention(regions, captions), grounder.score(regions, captions)
    grounded = grounder.ground_regions(regions[0], captions[:1])[0]

    attention, score, words = [], [], []
    for member in members_of(grounder.model):
        grounder.model = member
        attention.append(grounder.attention(regions, captions))
        score.append(torch.from_numpy(grounder.score(regions, captions)))
        words.append(torch.from_numpy(grounder.ground_regions(regions[0], captions[:1])[0].attention_WR))

    assert not torch.allclose(attention[0], attention[1], atol=1e-3)
    torch.testing.assert_close(together[0], sum(attention) / 2)
    torch.testing.assert_close(torch.from_numpy(together[1]), sum(score) / 2)
    torch.testing.assert_close(torch.from_numpy(grounded.attention_WR), sum(words) / 2)


def test_an_interrupted_fit_ends_with_the_same_weights(
    trained: tuple[Path, list[State]], tiny_dataset: Path, tiny_run: Path, tmp_path: Path
) -> None:
    def interrupt(entry: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    settings = FitSettings(tiny_dataset, tmp_path / "run", tiny_run / "store")
    with pytest.raises(KeyboardInterrupt):
        fit("infoground", TWO, settings, report=interrupt)
    resumed = fit("infoground", TWO, replace(settings, resume=True))
    for name, value in unboxed.load(trained[0]).model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_what_has_no_members_says_so(trained: tuple[Path, list[State]], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a number from 1"):
        InfoGround(members=0)
    with pytest.raises(ExportError, match="train one model"):
        export_onnx(unboxed.load(trained[0]), tmp_path / "onnx")

"""A checkpoint restores the very state that it was made of, and is refused where it does not belong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unboxed.errors import RunError
from unboxed.inference.weights import load_weights, save_weights
from unboxed.training.checkpoint import load_checkpoint, save_checkpoint


def _trained(width: int = 3, steps: int = 4) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A linear map after some steps of AdamW, whose moments are then part of the state."""
    torch.manual_seed(0)
    model = torch.nn.Linear(width, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        _step(model, optimizer)
    return model, optimizer


def _step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(1, model.in_features)).square().sum().backward()  # type: ignore[no-untyped-call, arg-type]
    optimizer.step()


def test_training_continues_from_a_checkpoint_with_the_same_weights(tmp_path: Path) -> None:
    model, optimizer = _trained()
    save_checkpoint(tmp_path / "checkpoint.safetensors", model, optimizer, {"step": 4, "best": None})
    other, other_optimizer = _trained(steps=1)
    progress = load_checkpoint(tmp_path / "checkpoint.safetensors", other, other_optimizer)
    assert progress == {"step": 4, "best": None}
    for _ in range(3):
        _step(model, optimizer)
        _step(other, other_optimizer)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    model, optimizer = _trained(width=3)
    save_checkpoint(tmp_path / "checkpoint.safetensors", model, optimizer, {"step": 4})
    with pytest.raises(RunError, match=r"does not continue this run: size mismatch.*remove it to start anew"):
        load_checkpoint(tmp_path / "checkpoint.safetensors", *_trained(width=5))


def test_weights_without_a_checkpoint_do_not_continue_a_run(tmp_path: Path) -> None:
    model, optimizer = _trained()
    save_weights(tmp_path / "model.safetensors", model)
    with pytest.raises(RunError, match="does not continue this run"):
        load_checkpoint(tmp_path / "model.safetensors", model, optimizer)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(RunError, match=r"model\.safetensors is damaged: .*train the run again"):
        load_weights(tmp_path / "model.safetensors", _trained()[0])


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "model.safetensors", _trained(width=3)[0])
    with pytest.raises(RunError, match="holds the weights of another model"):
        load_weights(tmp_path / "model.safetensors", _trained(width=5)[0])

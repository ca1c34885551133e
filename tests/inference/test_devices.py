"""A model on another device than the CPU, tried with a device that has the CPU's numbers and the strictness of a GPU.

`FakeDevice` is the device `meta` with numbers behind it: its tensors hold a tensor of the CPU, an operation between one
of them and a tensor of the CPU fails as between a GPU and the CPU, and NumPy cannot read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

import unboxed
from unboxed.data.dataset import load_dataset
from unboxed.evaluation.pair_scores import score_pairs
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import Grounding
from unboxed.inference.run_config import RunConfig
from unboxed.recipes import RECIPES
from unboxed.recipes.config import DistillationConfig
from unboxed.recipes.pairs import TrainingStep
from unboxed.regions.store import RegionStore
from unboxed.search import Index, index_images
from unboxed.text.tokens import Vocabulary
from unboxed.types import PairedBatch


class FakeTensor(torch.Tensor):
    """A tensor on `meta` with its numbers in `held`, a tensor of the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> FakeTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            dtype=held.dtype,
            device="meta",
            storage_offset=held.storage_offset(),
        )
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})


_ATEN = torch.ops.aten
_PACKED = _ATEN._pack_padded_sequence.default
_MIXED = (_ATEN.index.Tensor, _ATEN.index_put_.default, _PACKED, _ATEN._pad_packed_sequence.default, _ATEN.gru.data)
"""Operations whose indices or lengths may be on the CPU, on a GPU too."""


class FakeDevice(TorchDispatchMode):
    """While it is on, the device `meta` computes."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})


def _run(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    faked = [value for value in tensors if isinstance(value, FakeTensor)]
    target = kwargs.get("device")
    copies = operation is torch.ops.aten._to_copy.default or operation is torch.ops.aten.copy_.default
    if faked and not copies:
        strangers = [value for value in tensors if not isinstance(value, FakeTensor) and value.ndim]
        assert operation in _MIXED or not strangers, f"{operation} takes tensors of the CPU and of the device"
    on_device = target == torch.device("meta") if target is not None else bool(faked)
    if target is not None and on_device:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map_only(FakeTensor, lambda value: value.held, (args, kwargs))
    result = operation(*args, **kwargs)
    if not on_device:
        return result
    if operation is _PACKED:  # the sizes of its steps stay on the CPU
        return FakeTensor(result[0]), result[1]
    known = {id(value.held): value for value in faked}  # an operation in place returns its own tensor
    return tree_map_only(
        torch.Tensor, lambda value: known[id(value)] if id(value) in known else FakeTensor(value), result
    )


@pytest.fixture
def on_fake_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Grounder], Grounder]]:
    """Moves the model of a grounder to the fake device; nothing is computed on `meta` without numbers."""

    def move(grounder: Grounder) -> Grounder:
        for module in grounder.model.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    module._parameters[name] = torch.nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
            for name, buffer in list(module._buffers.items()):
                if buffer is not None:
                    module._buffers[name] = buffer.to("meta")
        assert grounder.model.device.type == "meta"
        return grounder

    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)  # PyTorch does not know it for `meta`
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())
    with FakeDevice():
        yield move


def test_the_fake_device_is_as_strict_as_a_gpu(on_fake_device: object) -> None:
    there, here = torch.arange(6.0).reshape(2, 3).to("meta"), torch.ones(2, 3)
    assert (there + 1).cpu().tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(AssertionError, match="of the CPU and of the device"):
        there + here
    with pytest.raises((RuntimeError, TypeError)):
        there.numpy()


def _same(found: Grounding, wanted: Grounding) -> None:
    """The groundings agree up to rounding: on the device other code multiplies and sums."""
    np.testing.assert_allclose(found.attention_WR, wanted.attention_WR, rtol=1e-4, atol=1e-6)
    for one, other in zip(found.phrases, wanted.phrases, strict=True):
        assert one.text == other.text
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4, atol=1e-5)


def test_grounding_on_a_device_gives_the_groundings_of_the_cpu(
    tiny_run: Path, tiny_dataset: Path, on_fake_device: Callable[[Grounder], Grounder]
) -> None:
    photos, caption = [tiny_dataset.parent / "photos" / f"{n}.png" for n in (3, 4)], "a red box beside a blue box"
    cpu, there = unboxed.load(tiny_run, device="cpu"), on_fake_device(unboxed.load(tiny_run, device="cpu"))
    given = [[caption], ["a box", caption]]
    for found, wanted in zip(there.ground_batch(photos, given), cpu.ground_batch(photos, given), strict=True):
        for one, other in zip(found, wanted, strict=True):
            _same(one, other)
    np.testing.assert_allclose(there.score(photos, [caption]), cpu.score(photos, [caption]), atol=1e-6)
    found, wanted = there.retrieve(caption, photos), cpu.retrieve(caption, photos)
    assert [hit.index for hit in found] == [hit.index for hit in wanted]


def test_a_split_and_an_index_on_a_device_have_the_scores_of_the_cpu(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, on_fake_device: Callable[[Grounder], Grounder]
) -> None:
    store, examples = RegionStore.open(tiny_run / "store"), load_dataset(tiny_dataset).split("val").examples
    cpu, there = (EmbeddedSplit(grounder, store) for grounder in (unboxed.load(tiny_run), unboxed.load(tiny_run)))
    on_fake_device(there.grounder)
    found, wanted = score_pairs(there, examples), score_pairs(cpu, examples)
    np.testing.assert_allclose(found.score_BC, wanted.score_BC, rtol=1e-4, atol=1e-6)
    captions = [(example.image_id, example.captions) for example in examples]
    for several, others in zip(there.ground(captions), cpu.ground(captions), strict=True):
        for one, other in zip(several, others, strict=True):
            _same(one, other)
    index_images(tiny_run, tiny_dataset, tmp_path / "index", progress=False)
    index = Index.open(tmp_path / "index")
    wanted_hits = index.search("a red box", 5)
    on_fake_device(index.grounder)
    for hit, other_hit in zip(index.search("a red box", 5), wanted_hits, strict=True):
        assert hit.score == pytest.approx(other_hit.score, abs=1e-6)
    assert index.captions_for(examples[0].path, 3)
    assert index.recall(["a red box"], k=3, candidates=5) > 0


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "npair"])
def test_the_model_of_every_recipe_computes_on_a_device(
    name: str, tiny_world: tuple[Path, Path], on_fake_device: Callable[[Grounder], Grounder]
) -> None:
    store, examples = RegionStore.open(tiny_world[1]), load_dataset(tiny_world[0]).split("val").examples[:3]
    captions = [caption for example in examples for caption in example.captions[:2]]
    options = RECIPES[name](joint_width=16, embedding_width=12, hidden_width=8, negatives="none")
    options = replace(options, distillation=DistillationConfig(distillation=0), prior="none")
    vocabulary = Vocabulary.from_captions((caption.text for caption in captions), 1)
    config = RunConfig(name, options, store.settings, store.feature_blocks, store.class_names, {})
    torch.manual_seed(0)
    grounder = Grounder(config, options.build(vocabulary, config.region_width), vocabulary)
    regions = [store[example.image_id] for example in examples]
    batcher = grounder.batcher
    image_of_C = torch.arange(len(captions)) // 2
    batch = PairedBatch(batcher.images(regions), batcher.captions(batcher.encode(captions)), image_of_C)
    with torch.no_grad():
        score_BC, losses = grounder.score(regions, captions), grounder.model.loss(batch, TrainingStep(0, 1))
        groundings = grounder.ground_regions(regions[0], captions[:2])
        on_fake_device(grounder)
        np.testing.assert_allclose(grounder.score(regions, captions), score_BC, rtol=1e-4, atol=1e-5)
        found = grounder.model.loss(batch.to(grounder.model.device), TrainingStep(0, 1))
        assert {part: float(value) for part, value in found.items()} == pytest.approx(
            {part: float(value) for part, value in losses.items()}, rel=1e-3
        )
    for one, other in zip(grounder.ground_regions(regions[0], captions[:2]), groundings, strict=True):
        _same(one, other)

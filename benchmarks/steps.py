"""The training step of every recipe, and its bare products: for `training_step`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unboxed.recipes import RECIPES
from unboxed.recipes.config import RecipeConfig
from unboxed.recipes.model import MatchingModel
from unboxed.recipes.pairs import TrainingStep
from unboxed.scenes import write_scenes
from unboxed.training import fitting
from unboxed.training.loop import optimizer_of
from unboxed.training.options import FitSettings
from unboxed.training.untrained import untrained_model
from unboxed.types import PairedBatch

__all__ = ["RecipeStep", "recipe_steps"]

_IMAGES = 64


class RecipeStep:
    """One training step of a recipe with its defaults, always on the same batch.

    Args:
        options: of the recipe.
        model: the untrained model.
        batch: the batch.
    """

    def __init__(self, options: RecipeConfig, model: MatchingModel, batch: PairedBatch) -> None:
        self.options, self.model, self.batch = options, model.train(), batch
        self.optimizer = optimizer_of(model, options.schedule)

    def __call__(self) -> None:
        """Losses, gradients, clipping, and the optimizer, as in training."""
        torch.manual_seed(0)
        # Of the last epoch: a warm-up with all negatives is over.
        step = TrainingStep(100, 200, self.options.schedule.epochs)
        self.optimizer.zero_grad()
        torch.autograd.backward(self.model.loss(self.batch, step)["loss"])
        if self.options.schedule.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.schedule.clip)
        self.optimizer.step()

    def products(self) -> Callable[[], None]:
        """The matrix products and convolutions of one step alone, forward and backward, with the same shapes."""
        found = _Products()
        with found:
            self()
        return found.replay


def recipe_steps(folder: Path, names: Sequence[str] = tuple(RECIPES)) -> Iterator[tuple[str, RecipeStep]]:
    """The step of every recipe with its default options, on drawn images.

    Args:
        folder: an empty folder for the images and the regions.
        names: of the recipes.
    """
    data = write_scenes(folder / "world", train=_IMAGES, val=8, test=1)
    for name in names:
        options = RECIPES[name]()
        settings = FitSettings(data, folder / name)
        request = fitting._Request(name, options, settings, None, None, None)
        prepared = fitting._prepared(request, lambda line: None)
        assert prepared is not None
        loader = prepared.loaders[0]
        fitting._find_negatives(options, settings, loader, lambda line: None)
        model = untrained_model(prepared.config, prepared.data.vocabulary, loader)
        # A whole batch: the last ones of an epoch have fewer images.
        most = max(len(shares) for shares in loader.plan(options.schedule, 0))
        with closing(loader.batches(options.schedule, 0)) as batches:
            batch = next(batch for batch in batches if len(batch.images) == most)
        yield name, RecipeStep(options, model, batch)


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every matrix product and convolution with the layout of its operands."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept: dict[Any, torch.Tensor] = {}
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        if name in ("mm", "bmm"):
            self._keep(getattr(torch, name), args)
        elif name in ("addmm", "baddbmm"):
            self._keep(torch.mm if name == "addmm" else torch.bmm, args[1:3])
        elif name in ("convolution", "convolution_backward"):
            self._keep(func, args)
        return result

    def _keep(self, product: Callable[..., Any], operands: Sequence[Any]) -> None:
        self.calls.append((product, tuple(self._copy(operand) for operand in operands)))

    def _copy(self, operand: Any) -> Any:
        """Random numbers in the operand's layout; operands of one layout share them."""
        if not isinstance(operand, torch.Tensor):
            return operand
        key = (operand.shape, operand.stride(), operand.dtype)
        if key not in self._kept:
            strides = operand.contiguous().stride() if 0 in operand.stride() else operand.stride()
            self._kept[key] = torch.empty_strided(operand.shape, strides, dtype=operand.dtype)
            with torch._C._DisableTorchDispatch():
                self._kept[key].uniform_(-1, 1)
        return self._kept[key]

    def replay(self) -> None:
        """All recorded products, in order."""
        for product, operands in self.calls:
            product(*operands)

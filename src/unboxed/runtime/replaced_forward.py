"""Another `forward` for some modules of a model, for as long as a block runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

__all__ = ["replaced_forward"]


@contextmanager
def replaced_forward(model: nn.Module, kinds: type | tuple[type, ...], forward: Callable[..., Any]) -> Iterator[None]:
    """A context in which modules of some classes compute `forward(module, ...)` in place of their own `forward`.

    Args:
        model: its modules are replaced, at any depth.
        kinds: the classes.
        forward: takes the module, and then what the module is called with.
    """
    modules = [module for module in model.modules() if isinstance(module, kinds)]
    before = [vars(module).get("forward") for module in modules]  # of a block around this one
    for module in modules:
        vars(module)["forward"] = partial(forward, module)  # takes precedence over the method of the class
    try:
        yield
    finally:
        for module, outer in zip(modules, before, strict=True):
            if outer is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = outer

"""Batches of images for models of transformers, which several threads ask about single images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from unboxed.types import Array

__all__ = ["ImageBatches"]

_LARGEST_BATCH = 16
_LARGEST_BATCH_ON_CPU = 1  # larger ones are not faster there, and what is found would depend on them by rounding


@dataclass(frozen=True, eq=False)
class _Call:
    """An image that a thread asks about; calls of one `kind` fit into one batch."""

    inputs: dict[str, Any]
    kind: Hashable
    found: Future[tuple[Array, ...]] = field(default_factory=Future)


class ImageBatches:
    """Runs a model on the images that wait for it; safe to call from several threads at once.

    On a GPU, images that arrive while the model runs form the next batch, as long as their inputs have the same sizes:
    none is padded. So a batch has at most as many images as threads call. On the CPU, every thread runs the model on
    its own image.

    Args:
        run: the outputs of the model, `[n, …]` each, for n images; its arguments are the inputs on the device, `[n, …]`
            each, and what was asked.
        device: of the model, of PyTorch.
    """

    def __init__(self, run: Callable[[dict[str, Any], Any], tuple[Any, ...]], device: Any) -> None:
        self._run, self._device = run, device
        self._largest = _LARGEST_BATCH_ON_CPU if device.type == "cpu" else _LARGEST_BATCH
        self._waiting: list[_Call] = []
        self._changing, self._running = threading.Lock(), threading.Lock()

    def __call__(self, inputs: dict[str, Any], asked: Hashable = ()) -> tuple[Array, ...]:
        """The outputs for one image as float32, without the axis of images.

        Args:
            inputs: tensors `[1, …]`.
            asked: given to `run`; images of one batch have the same.
        """
        call = _Call(inputs, (asked, *((name, value.shape) for name, value in inputs.items())))
        if self._largest == 1:
            return self._outputs([call], asked)[0]
        with self._changing:
            self._waiting.append(call)
        with self._running:
            if not call.found.done():
                self._answer(self._batch_of(call), asked)
        return call.found.result()

    def _batch_of(self, call: _Call) -> list[_Call]:
        """The call and others that fit, which no longer wait."""
        with self._changing:
            others = [other for other in self._waiting if other.kind == call.kind and other is not call]
            batch = [call, *others[: self._largest - 1]]
            self._waiting = [other for other in self._waiting if other not in batch]
        return batch

    def _answer(self, batch: list[_Call], asked: Any) -> None:
        try:
            for call, found in zip(batch, self._outputs(batch, asked), strict=True):
                call.found.set_result(found)
        except Exception as error:
            if len(batch) == 1:
                batch[0].found.set_exception(error)
            else:  # too large for the memory, or one of the images fails
                for call in batch:
                    self._answer([call], asked)

    def _outputs(self, batch: list[_Call], asked: Any) -> list[tuple[Array, ...]]:
        """The outputs for each image."""
        import torch

        first = batch[0].inputs
        inputs = {name: torch.cat([call.inputs[name] for call in batch]).to(self._device) for name in first}
        with torch.inference_mode():
            outputs = [output.float().cpu().numpy() for output in self._run(inputs, asked)]
        return [tuple(output[number] for output in outputs) for number in range(len(batch))]

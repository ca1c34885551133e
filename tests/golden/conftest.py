"""Recorded inputs, outputs and gradients of the original implementations, with tolerances for each precision."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
import torch

FOLDER = Path(__file__).parent
TOLERANCES: dict[str, dict[str, dict[str, list[str]]]] = json.loads(
    (FOLDER / "tolerances.json").read_text(encoding="utf-8")
)
PRECISIONS = {"double": torch.float64, "single": torch.float32}

Found = torch.Tensor | npt.NDArray[np.generic] | float


class Golden:
    """The arrays of one fixture; `golden["in_images"]` is an array as a tensor, floats in the precision."""

    precision: ClassVar[str] = "double"

    def __init__(self, name: str) -> None:
        with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as archive:
            self.arrays = {array: archive[array] for array in archive.files}
        tolerances = TOLERANCES[self.precision].get(name, {})
        self.tolerance = {array: float(value) for value, arrays in tolerances.items() for array in arrays}
        self.checked: set[str] = set()

    def __getitem__(self, array: str) -> torch.Tensor:
        values = torch.from_numpy(self.arrays[array])
        return values.to(PRECISIONS[self.precision]) if values.is_floating_point() else values

    def check(self, array: str, found: Found) -> None:
        """Assert `max |found - recorded| <= tolerance * max |recorded|`; integers and booleans must be equal.

        Of many gradients, only the first rows or columns are recorded: `found` is cut to these.
        """
        expected = self.arrays[array]
        values = found.detach().numpy() if isinstance(found, torch.Tensor) else np.asarray(found)
        if array.startswith("grad_"):
            assert values.ndim == expected.ndim
            values = values[tuple(slice(length) for length in expected.shape)]
        assert values.shape == expected.shape, array
        if expected.dtype.kind == "f":
            error = np.abs(values.astype(np.float64) - expected).max() / np.abs(expected).max()
            assert error <= self.tolerance[array], f"{array}: {error:.1e} instead of {self.tolerance[array]:.0e}"
        else:
            np.testing.assert_array_equal(values, expected, err_msg=array)
        self.checked.add(array)

    def check_gradients(self, loss: torch.Tensor, inputs: dict[str, torch.Tensor]) -> None:
        """Assert the gradients of a scalar, by the names of their arrays."""
        gradients = torch.autograd.grad(loss, list(inputs.values()), retain_graph=True)
        for array, gradient in zip(inputs, gradients, strict=True):
            self.check(array, gradient)

    def assert_complete(self, except_for: Iterable[str] = ()) -> None:
        """Assert that every recorded result was checked, except for arrays that match one of the patterns.

        Gradients that are zero but for rounding have no tolerance, and are not counted.
        """
        results = {array for array in self.arrays if array.startswith(("out_", "grad_", "bound_"))}
        results = {array for array in results if self.arrays[array].dtype.kind != "f" or array in self.tolerance}
        left = results - self.checked
        assert left == {array for array in left if any(fnmatch(array, pattern) for pattern in except_for)}
        unused = [pattern for pattern in except_for if not any(fnmatch(array, pattern) for array in left)]
        assert not unused, f"{unused} are checked, or do not exist"


@pytest.fixture
def golden() -> Callable[[str], Golden]:
    """Loads a fixture by its name."""
    return Golden


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs a test in each precision: that of the fixtures' arrays, and of what PyTorch makes."""
    before = torch.get_default_dtype()
    monkeypatch.setattr(Golden, "precision", request.param)
    torch.set_default_dtype(PRECISIONS[request.param])
    yield
    torch.set_default_dtype(before)

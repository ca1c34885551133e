"""The budget of memory: limits of control groups, amounts and shares, and what it bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from unboxed.cli import main
from unboxed.data.dataset import load_dataset
from unboxed.errors import DeviceError
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.recipes import embeddings
from unboxed.regions.store import RegionStore
from unboxed.runtime import memory
from unboxed.runtime.memory import MEMORY_VARIABLE, allowed_bytes, checked_memory, memory_budget
from unboxed.training.split_loader import SplitLoader

GB = 10**9
V1, V2 = "3:cpu:/\n4:cpuset,memory:/pods/one\n0::/\n", "0::/pods/one\n"


def _system(root: Path, cgroup: str, files: dict[str, str], total_kb: int = 32_000_000) -> Path:
    """A file system with the files of control groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/meminfo").write_text(f"MemFree: 5 kB\nMemTotal:       {total_kb} kB\n")
    for name, text in files.items():
        (root / "sys/fs/cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        (V2, {"pods/one/memory.max": f"{4 * GB}\n", "pods/memory.max": "max\n"}, 4 * GB),
        (V2, {"pods/one/memory.max": "max\n", "pods/memory.max": f"{3 * GB}\n"}, 3 * GB),  # of the group around it
        ("0::/\n", {"memory.max": f"{2 * GB}\n"}, 2 * GB),  # as a container sees itself
        (V2, {"memory.max": f"{2 * GB}\n"}, 2 * GB),  # the group's own folder is not mounted
        (V1, {"memory/pods/one/memory.limit_in_bytes": f"{GB}\n"}, GB),
        (V1, {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 1024 * 32_000_000),  # no limit
        (V2, {"pods/one/memory.max": "max\n"}, 1024 * 32_000_000),
        (V2, {"pods/one/memory.max": "nonsense"}, 1024 * 32_000_000),
        ("nonsense", {}, 1024 * 32_000_000),
    ],
)
def test_the_smallest_limit_counts(cgroup: str, files: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert allowed_bytes(_system(tmp_path, cgroup, files)) == expected


def test_a_system_that_reports_nothing_is_taken_to_have_8_gib(tmp_path: Path) -> None:
    assert allowed_bytes(tmp_path) == 2**33
    assert 2**26 < allowed_bytes() < 2**50


@pytest.fixture
def of_4_gb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], int]]:
    """The budget by `UNBOXED_MEMORY` in a container of 4 GB."""
    monkeypatch.setattr(memory, "allowed_bytes", lambda: 4 * GB)
    memory._amount.cache_clear()

    def budget(text: str | None) -> int:
        monkeypatch.delenv(MEMORY_VARIABLE, raising=False)
        if text is not None:
            monkeypatch.setenv(MEMORY_VARIABLE, text)
        return memory_budget()

    yield budget
    memory._amount.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, 2_800_000_000),
        ("50%", 2 * GB),
        ("1.5GB", 1_500_000_000),
        ("512MiB", 2**29),
        ("1 g", GB),
        ("3000000000", 3 * GB),
    ],
)
def test_amounts_and_shares(of_4_gb: Callable[[str | None], int], text: str | None, expected: int) -> None:
    assert of_4_gb(text) == expected
    assert memory.cache_bytes() == expected // 4 and memory.scoring_bytes() == min(2**28, expected // 8)


@pytest.mark.parametrize("text", ["", "4 lots", "-1GB", "nan", "1e9", "0", "1%", "10MB", "9999999TB", "200%"])
def test_what_is_no_amount_or_too_little_is_an_error(of_4_gb: Callable[[str | None], int], text: str) -> None:
    with pytest.raises(DeviceError, match=r"The memory .* is (no amount|too little|more than there is)"):
        checked_memory(text)


@pytest.mark.parametrize("command", ["evaluate nowhere", "regions", "fit", "fit scan"])
def test_the_option_is_checked_before_anything_else(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["nothing.toml"] if command == "regions" else ["--data", "nothing.toml"]
    out = [] if command == "evaluate nowhere" else ["--out", "nothing"]
    with pytest.raises(SystemExit, match="2"):
        main([*command.split(), *data, *out, "--memory", "much"])
    assert "The memory 'much' is no amount; expected one such as 4GB, 512MiB or 50%" in capsys.readouterr().err


def test_caches_blocks_and_loaders_keep_to_it_and_results_are_the_same(
    tiny_run: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grounder, store = Grounder.load(tiny_run), RegionStore.open(tiny_run / "store")
    tiny_examples = load_dataset(tiny_dataset).split("val").examples
    captions = grounder.encode_captions([caption for example in tiny_examples for caption in example.captions])
    found = []
    for budget in ("2GB", "64MiB"):
        monkeypatch.setenv(MEMORY_VARIABLE, budget)
        budgets: list[int] = []
        scores = type(grounder.model.aligner).scores
        with monkeypatch.context() as patch:
            patch.setattr(
                type(grounder.model.aligner),
                "scores",
                lambda *args, **options: budgets.append(options["budget_bytes"]) or scores(*args, **options),  # noqa: B023
            )
            split = EmbeddedSplit(grounder, store)
            with torch.inference_mode():
                images = split.embeddings([example.image_id for example in tiny_examples])
                found.append(embeddings.score(grounder.model.aligner, images, captions))
        assert set(budgets) <= {memory.scoring_bytes(), memory.scoring_bytes() // 2} and budgets
        assert 0 <= split._memory <= memory.cache_bytes()
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
    loader = SplitLoader(tiny_examples, store, grounder.batcher)
    size = loader.region_inputs(0).nbytes
    assert loader._batches_ahead(2**20 // size) == 4  # of 2 MiB each, in 8 MiB
    assert loader._batches_ahead(2**22 // size) == 1 and loader._batches_ahead(2**30 // size) == 1

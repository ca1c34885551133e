"""The folder of a trained run, read and written: config, vocabulary, weights, text encoder and prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unboxed.errors import RunError
from unboxed.inference.batching import Batcher
from unboxed.inference.hub import model_card
from unboxed.inference.run_config import RunConfig
from unboxed.inference.weights import check_shapes, load_weights, save_weights, shapes_only
from unboxed.priors.semantic import SemanticPrior
from unboxed.runtime.atomic import write_text
from unboxed.text.tokens import Vocabulary

if TYPE_CHECKING:
    from unboxed.recipes.model import MatchingModel

__all__ = ["RUN_FILES", "RUN_FOLDERS", "RunParts", "read_run", "require_replaceable", "write_run"]

RUN_FOLDERS = ("regions", "prior", "text", "store")
"""The subfolders that a run may have."""

RUN_FILES = (
    "vocab.json",
    "prior",
    "text",
    "digests.json",
    "negatives.safetensors",
    "model.safetensors",
    "checkpoint.safetensors",
    "log.jsonl",
)
"""What training writes to the folder of a run, beside the config, and replaces there."""

_CARD = "README.md"


class RunParts(NamedTuple):
    """What a trained run consists of.

    Attributes:
        config: of the run.
        model: with its trained weights.
        vocabulary: its words.
        prior: its semantic prior, or None.
    """

    config: RunConfig
    model: MatchingModel
    vocabulary: Vocabulary
    prior: SemanticPrior | None

    @property
    def batcher(self) -> Batcher:
        """Makes image and caption batches for the model."""
        return Batcher(self.config, self.vocabulary, self.prior if self.config.options.reads_prior else None)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text, in lower case, that are not in the vocabulary; see `Grounder.unknown_words`."""
        if self.config.options.text != "gru":
            return []
        found = dict.fromkeys(word.text for word in self.vocabulary.tokenizer(text) if word.start < word.end)
        return [word for word in found if word not in self.vocabulary and any(map(str.isalnum, word))]


def read_run(run: Path) -> RunParts:
    """The parts of a run, with the model on the CPU.

    Raises:
        RunError: no run there, none that finished an epoch, a damaged one, or one of a newer version.
    """
    config = RunConfig.load(run)
    vocabulary = Vocabulary.load(run / "vocab.json")
    weights = run / "model.safetensors"
    if not weights.is_file():
        raise RunError(f"{run} has no model.safetensors yet; let it finish an epoch: `unboxed fit … --resume`.")
    if config.options.text == "gru":  # before memory is asked for
        with shapes_only():
            check_shapes(weights, config.untrained(vocabulary, run))
    elif not (run / "text").is_dir():
        raise RunError(
            f"{run} has no folder `text`, the text encoder that it was trained with; copy the whole run. Loading a run "
            "downloads nothing."
        )
    model = config.untrained(vocabulary, run)
    load_weights(weights, model)
    prior = SemanticPrior.load(run / "prior", config.regions.labeler) if config.options.needs_prior else None
    return RunParts(config, model, vocabulary, prior)


def write_run(run: Path, parts: RunParts) -> None:
    """Write the parts of a run, all files that its regions need, and a model card (README.md) to the folder `run`.

    Raises:
        RunError: the folder is no run, and holds files in the place of these.
    """
    require_replaceable(run, (*RUN_FILES, _CARD))
    run.mkdir(parents=True, exist_ok=True)
    replace(parts.config, regions=parts.config.regions.copied_to(run / "regions")).save(run)
    parts.vocabulary.save(run / "vocab.json")
    if parts.config.options.text != "gru":
        parts.model.text.save(run / "text")  # type: ignore[operator]
    if parts.prior is not None:
        parts.prior.save(run / "prior")
    save_weights(run / "model.safetensors", parts.model)
    write_text(run / _CARD, model_card(parts.config))


def require_replaceable(run: Path, written: Sequence[str]) -> None:
    """Raise an error before files are replaced that belong to no run.

    Args:
        run: the folder; it may be missing.
        written: the names of what will be written, beside the config.

    Raises:
        RunError: the folder has no config of a run, and has some of these.
    """
    others = [name for name in written if (run / name).exists()]
    if others and not (run / "config.json").exists():
        raise RunError(f"{run} is no run and holds {others[0]}, which would be replaced; choose another folder.")

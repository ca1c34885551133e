"""The model before training: random weights of the seed, given word vectors, the scale of its inputs, and a trial."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, cast

import torch

from unboxed.inference.run_config import RunConfig
from unboxed.recipes.members import members_of
from unboxed.recipes.pairs import TrainingStep
from unboxed.runtime.seeds import generator, seed_of
from unboxed.text.recurrent import RecurrentEncoder
from unboxed.text.tokens import Vocabulary
from unboxed.text.word_vectors import WordVectors
from unboxed.training.split_loader import SplitLoader

if TYPE_CHECKING:
    from unboxed.recipes.model import MatchingModel

__all__ = ["require_trainable", "untrained_model"]

_MEASURED_IMAGES = 500  # whose region inputs give the scale of all


def untrained_model(config: RunConfig, vocabulary: Vocabulary, training: SplitLoader) -> MatchingModel:
    """The model with random weights of the seed, and the scale of its region inputs."""
    seed = config.options.schedule.seed
    torch.manual_seed(seed_of(seed, "weights"))
    model = config.options.build(vocabulary, config.region_width)
    members = members_of(model)
    vectors = config.options.text_encoder.initial_vectors
    if vectors is not None:
        opened = WordVectors.open(vectors, unit=False)
        for member in members:
            cast(RecurrentEncoder, member.text).set_vectors(vocabulary, opened)
    alone = config.options.region_inputs == "features"
    if not alone or config.options.scaled_features:
        sample = generator(seed, "measure").permutation(len(training))[:_MEASURED_IMAGES]
        members[0].standardise.measure((training.region_inputs(int(image)) for image in sample), whole=alone)
        for member in members[1:]:
            member.standardise.load_state_dict(members[0].standardise.state_dict())
    return model


def require_trainable(model: MatchingModel, validation: SplitLoader, chunk: int) -> None:
    """Compute the loss of a batch, so that what does not fit together is reported before anything of a run is written.

    No weight and no random number of the training changes.

    Args:
        model: is in evaluation mode afterwards.
        validation: images and captions that it is not trained on.
        chunk: as for `TrainingStep`.

    Raises:
        UnboxedError: the options, the regions and the captions do not fit together.
    """
    with closing(validation.batches(model.options.schedule, -1)) as batches, torch.random.fork_rng(devices=[]):
        model.eval().loss(next(batches).to(model.device), TrainingStep(0, 1, chunk=chunk))

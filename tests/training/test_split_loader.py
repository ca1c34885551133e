"""Batches of a split: the noun that a caption's negatives replace, whatever tokenizer the model has."""

from __future__ import annotations

from pathlib import Path

import pytest

from unboxed.data.dataset import load_dataset
from unboxed.errors import DatasetError
from unboxed.inference.batching import Batcher
from unboxed.inference.run_config import RunConfig
from unboxed.negatives.build import make_negatives
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.schedule import Schedule
from unboxed.regions.store import RegionStore
from unboxed.runtime.ranks import Ranks
from unboxed.text.phrases import head_noun
from unboxed.text.tokens import Tokenizer, TokenizerName, Vocabulary
from unboxed.training.split_loader import SplitLoader


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("name", ["words", "treebank", "spaces"])
def test_substitutes_stand_for_the_head_noun_of_a_phrase(
    tiny_world: tuple[Path, Path], name: TokenizerName, marks: bool
) -> None:
    examples = load_dataset(tiny_world[0]).split("train").examples
    store = RegionStore.open(tiny_world[1])
    texts = [caption.text for example in examples for caption in example.captions]
    vocabulary = Vocabulary.from_captions(texts, 1, Tokenizer(name, marks))
    config = RunConfig("infoground", InfoGround(), store.settings, store.feature_blocks, store.class_names, {})
    loader = SplitLoader(examples, store, Batcher(config, vocabulary))
    captions = [encoded.caption for own in loader.captions for encoded in own]
    images = [image for image, own in zip(loader.image_ids, loader.captions, strict=True) for _ in own]
    loader.negatives, loader.negative_count = make_negatives("random", captions, images), 3
    heads = {head_noun(phrase.text) for caption in captions for phrase in caption.phrases}
    seen = 0
    for batch in loader.batches(Schedule(images_per_batch=8), 0):
        slots = batch.captions.slot_C.tolist()
        for slot, tokens_W, substitutes_N in zip(
            slots, batch.captions.tokens_CW, batch.captions.substitutes_CN, strict=True
        ):
            if slot >= 0:
                seen += 1
                (replaced,) = vocabulary.decode([int(tokens_W[slot])])
                assert replaced.rstrip(".,") in heads  # spaces alone leave the full stop at its word
                assert len(substitutes_N) == 3 and int(tokens_W[slot]) not in substitutes_N.tolist()
    assert seen > 100


def test_training_needs_two_images_and_one_for_each_process(tiny_world: tuple[Path, Path]) -> None:
    examples = load_dataset(tiny_world[0]).split("train").examples
    store = RegionStore.open(tiny_world[1])
    vocabulary = Vocabulary.from_captions([caption.text for caption in examples[0].captions])
    config = RunConfig("infoground", InfoGround(), store.settings, store.feature_blocks, store.class_names, {})
    batcher = Batcher(config, vocabulary)
    with pytest.raises(DatasetError, match=f"Only {examples[0].image_id} of 1 image has regions"):
        SplitLoader(examples[:1], store, batcher)
    loader = SplitLoader(examples[:3], store, batcher)
    assert len(loader.plan(Schedule(), 0)) == 1
    loader.ranks = Ranks(0, 4)
    with pytest.raises(DatasetError, match="No batch has an image for each of 4 processes: 3 images"):
        loader.plan(Schedule(), 0)

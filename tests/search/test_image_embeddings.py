"""Stored images score and ground like the images themselves, and are read back from shards as they were written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from unboxed.data.dataset import load_dataset
from unboxed.errors import RegionsError, SearchError
from unboxed.inference.grounder import Grounder
from unboxed.recipes import RECIPES
from unboxed.recipes.sprm import SPRM
from unboxed.regions.store import RegionStore
from unboxed.search.image_embeddings import (
    Shard,
    StoredImage,
    encode_for_index,
    ground_stored,
    image_batch,
    shard_path,
    write_shard,
)
from unboxed.training.fitting import FitSettings, fit


@pytest.mark.parametrize("name", ["ckd", "sprm", "scan", "bfan", "pfan", "sgr", "saf", "vse"])
def test_every_recipe_scores_and_grounds_stored_images_like_fresh_ones(
    name: str, tiny_world: tuple[Path, Path], prior_run: Grounder
) -> None:
    data, store = load_dataset(tiny_world[0]), RegionStore.open(tiny_world[1])
    examples = data.split("val").examples[:6]
    regions = [store[example.image_id] for example in examples]
    torch.manual_seed(0)
    options = RECIPES[name](joint_width=32, prior="semantic" if name == "sprm" else "none")
    config = replace(prior_run.config, recipe=name, options=options)
    model = options.build(prior_run.vocabulary, config.region_width)
    grounder = Grounder(config, model, prior_run.vocabulary, prior_run.prior if name == "sprm" else None)
    captions = [caption for example in examples for caption in example.captions[:2]]
    images = encode_for_index(grounder, regions)
    with torch.inference_mode():
        stored_BC = grounder.model.score(image_batch(images), grounder.encode_captions(captions)).numpy()
    np.testing.assert_allclose(stored_BC, grounder.score(regions, captions), rtol=0.01, atol=2e-3)
    for grounding, fresh in zip(ground_stored(grounder, images, captions[0]), regions, strict=True):
        direct = grounder.ground_regions(fresh, [captions[0]])[0]
        for ours, theirs in zip(grounding.phrases, direct.phrases, strict=True):
            np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0.02, atol=5e-3)


@pytest.fixture(scope="module")
def prior_run(tiny_world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    run = tmp_path_factory.mktemp("prior") / "run"
    fit("sprm", SPRM(untrained=True, joint_width=32), FitSettings(tiny_world[0], run, regions=tiny_world[1]))
    return Grounder.load(run)


def test_regions_of_another_kind_are_refused(prior_run: Grounder, tiny_world: tuple[Path, Path]) -> None:
    store = RegionStore.open(tiny_world[1])
    regions = store[load_dataset(tiny_world[0]).split("val").examples[0].image_id]
    with pytest.raises(RegionsError, match="the model was trained on"):
        encode_for_index(prior_run, [replace(regions, features=np.zeros((len(regions), 3)))])


def test_one_region_in_each_image_is_not_taken_for_an_embedding_of_the_whole_image(
    prior_run: Grounder, tiny_world: tuple[Path, Path]
) -> None:
    store = RegionStore.open(tiny_world[1])
    regions = [store[example.image_id][:1] for example in load_dataset(tiny_world[0]).split("val").examples[:3]]
    caption = load_dataset(tiny_world[0]).split("val").examples[0].captions[0]
    stored = encode_for_index(prior_run, regions)
    with torch.inference_mode():
        stored_BC = prior_run.model.score(image_batch(stored), prior_run.encode_captions([caption])).numpy()
    np.testing.assert_allclose(stored_BC, prior_run.score(regions, [caption]), rtol=0.01, atol=2e-3)


@st.composite
def _images(draw: st.DrawFn) -> list[StoredImage]:
    """Random images with one embedding a region and, or, one of the whole image."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    whole, classes = draw(st.booleans()), draw(st.integers(0, 2))
    images = []
    for count in draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)):
        embeddings = [torch.randn(count, 3, generator=generator).half()]
        embeddings += [torch.randn(1, 2, generator=generator).half()] if whole else []
        images.append(
            StoredImage(
                draw(st.integers(1, 900)),
                draw(st.integers(1, 900)),
                torch.rand(count, 4, generator=generator),
                torch.randint(-1, 5, (count,), generator=generator).to(torch.int16),
                torch.rand(count, generator=generator).half(),
                torch.rand(count, classes, generator=generator).half(),
                tuple(embeddings),
            )
        )
    return images


@given(_images())
def test_a_shard_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, images: list[StoredImage]
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    scores_NA = torch.rand(len(images), 7)
    entries = write_shard(shard_path(folder, 12), [f"key {i}" for i in range(len(images))], images, scores_NA)
    assert [path.name for path in folder.iterdir()] == ["000012.safetensors"]
    shard = Shard(folder / "000012.safetensors")
    assert shard.entries == entries and [entry.key for entry in entries] == [f"key {i}" for i in range(len(images))]
    assert torch.equal(shard.anchor_score_NA, scores_NA)
    for entry, image in zip(entries, images, strict=True):
        read = shard.image(entry.number, entry.start, entry.count, entry.width, entry.height)
        for found, expected in zip(read[:-1], image[:-1], strict=True):
            assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected))
        assert all(torch.equal(*pair) for pair in zip(read.embeddings, image.embeddings, strict=True))


@given(_images())
def test_a_batch_has_zeros_where_there_are_no_regions(images: list[StoredImage]) -> None:
    batch = image_batch(images)
    most = max(len(image.boxes_R4) for image in images)
    assert batch.regions.mask_BR.shape == (len(images), most)
    for b, image in enumerate(images):
        count = len(image.boxes_R4)
        assert batch.regions.mask_BR[b].tolist() == [True] * count + [False] * (most - count)
        for tensor, part in zip(batch.regions.tensors, image.embeddings, strict=True):
            assert tensor.dtype == torch.float32 and torch.equal(tensor[b, : len(part)], part.float())
            assert not tensor[b, len(part) :].any()
        assert torch.equal(batch.class_score_BRE[b, :count], image.class_score_RE.float())
        assert not batch.class_score_BRE[b, count:].any()


def _one_image() -> StoredImage:
    class_R, class_prob_R, class_score_RE = torch.zeros(2, dtype=torch.int16), torch.zeros(2), torch.zeros(2, 1)
    return StoredImage(4, 3, torch.zeros(2, 4), class_R, class_prob_R, class_score_RE, (torch.zeros(2, 3),))


@pytest.mark.parametrize("damage", ["cut", "no metadata", "wrong metadata", "wrong number", "no tensor"])
def test_a_damaged_shard_is_named_with_what_to_do(damage: str, tmp_path: Path) -> None:
    path = shard_path(tmp_path, 0)
    write_shard(path, ["key"], [_one_image()], torch.zeros(1, 2))
    assert len(Shard(path).entries) == 1
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        tensors, metadata = load_file(path), {"photos": "[]", "codes": "1"}
        if damage == "no tensor":
            del tensors["probes"]
        elif damage == "wrong metadata":
            metadata["photos"] = '[{"key": 1}]'
        elif damage == "wrong number":  # there is one image, 0
            entry = {"key": "key", "width": 4, "height": 3, "number": 1, "start": 0, "count": 2}
            metadata["photos"] = json.dumps([entry])
        save_file(tensors, path, None if damage == "no metadata" else metadata)
    with pytest.raises(SearchError, match=r"000000\.safetensors is damaged .* Delete it and run `unboxed index` again"):
        Shard(path)


def test_a_shard_that_is_gone_says_that_the_index_changed(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="is gone: the index was changed"):
        Shard(tmp_path / "000000.safetensors")

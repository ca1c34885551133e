"""Options that have no effect beside the others: `fit` refuses them, instead of training as if they were not given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from unboxed.attention.ranking import Ranking
from unboxed.errors import RunError
from unboxed.priors.settings import PriorSettings
from unboxed.recipes.ckd import CKD
from unboxed.recipes.config import RecipeConfig
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.matching import MatchingConfig
from unboxed.recipes.npair import NPair
from unboxed.recipes.presets import flat_options
from unboxed.recipes.sprm import SPRM

__all__ = ["idle_options", "named_flags", "refuse_idle_options"]


class _Rule(NamedTuple):
    """Options that count only where others have certain values.

    Attributes:
        names: the options, with underscores.
        counts: whether they have an effect, by all options, and `reads_prior`, `needs_prior` and `units` of the recipe.
        idle: when they have none, in words.
        of: the recipes that it is about.
    """

    names: tuple[str, ...]
    counts: Callable[[Mapping[str, Any]], bool]
    idle: str
    of: type[RecipeConfig] = RecipeConfig


_NO_RANKING = "in npair, which reads boxes off a heat map (--thresholds) and ranks no regions"

_RULES = (
    _Rule(
        ("negative_count", "negative_nouns", "negative_digits", "negative_seen", "negative_weight"),
        lambda o: o["negatives"] != "none",
        "without --negatives random or lm",
    ),
    _Rule(("negative_digits",), lambda o: o["negatives"] == "lm", "without --negatives lm"),
    _Rule(
        ("teacher", "teacher_temperature", "neighbours", "ramp_steps", "ramp", "student"),
        lambda o: o["distillation"] > 0,
        "without --distillation WEIGHT",
    ),
    _Rule(("teacher_temperature",), lambda o: o["teacher"] == "prior", "with a run as --teacher"),
    _Rule(("step_epochs", "step_factor"), lambda o: o["curve"] == "step", "without --curve step"),
    _Rule(("scaled_features",), lambda o: o["region_inputs"] == "features", "without --region-inputs features"),
    _Rule(
        ("class_inputs", "backbone_features"), lambda o: o["region_inputs"] == "all", "with --region-inputs features"
    ),
    _Rule(
        ("backbone_features",),
        lambda o: o["class_inputs"],
        "with --no-class-inputs, where region inputs are all features",
    ),
    _Rule(("embedding_init",), lambda o: o["initial_vectors"] is None, "with --initial-vectors"),
    _Rule(
        tuple(field.name for field in fields(PriorSettings)),
        lambda o: o["needs_prior"],
        "without --prior semantic, or --distillation WEIGHT of the prior",
    ),
    _Rule(
        ("prior_weight",),
        lambda o: o["reads_prior"] or (o["needs_prior"] and o["intra_caption"] > 0),
        "without --prior semantic, or --intra-caption WEIGHT beside --distillation of the prior",
    ),
    _Rule(("class_map",), lambda o: "map" in o["match"], "without map in --match"),
    _Rule(("part_weight",), lambda o: "parts" in o["match"], "without parts in --match"),
    _Rule(
        ("word_vectors", "unit_vectors", "vector_threshold"),
        lambda o: "vectors" in o["match"],
        "without vectors in --match",
    ),
    _Rule(("heads",), lambda o: "vectors" in o["match"] or o["heads"] == "best", "without vectors in --match"),
    _Rule(("vector_threshold",), lambda o: o["affinities"] == "shares", "with --affinities plain"),
    _Rule(
        ("wordnet",),
        lambda o: "wordnet" in o["match"] or o["classes"] == "wordnet",
        "without wordnet in --match, or --classes wordnet",
    ),
    _Rule(("places", "spatial_score"), lambda o: o["spatial"], "with --no-spatial"),
    _Rule(
        ("pooling", "phrase_words"),
        lambda o: o["units"] != "phrases",
        "in recipes that compare whole phrases with regions",
    ),
    _Rule(("overlap_power",), lambda o: o["expected_overlap"], "without --expected-overlap"),
    _Rule(("scale",), lambda o: o["contrast"] == "npair", "without --contrast npair", MatchingConfig),
    _Rule(
        ("margin", "warm_up", "hinge"), lambda o: o["contrast"] == "hinge", "without --contrast hinge", MatchingConfig
    ),
    _Rule(
        ("constraint_weight", "constraint_margin"),
        lambda o: o["constraints"] != "none",
        "without --constraints ccr, ccs or both",
        MatchingConfig,
    ),
    _Rule(
        ("ccr_variant",),
        lambda o: o["constraints"] in ("ccr", "both"),
        "without --constraints ccr or both",
        MatchingConfig,
    ),
    _Rule(
        ("ccs_variant",),
        lambda o: o["constraints"] in ("ccs", "both"),
        "without --constraints ccs or both",
        MatchingConfig,
    ),
    _Rule(("lambda_lse",), lambda o: o.get("aggregation") == "lse", "without --aggregation lse", MatchingConfig),
    _Rule(("both_ways",), lambda o: o["sentence_weight"] > 0, "with --sentence-weight 0", CKD),
    _Rule(("layer_width",), lambda o: o["layers"] > 1, "with --layers 1", InfoGround),
    _Rule(("negative",), lambda o: o["contrast"] == "difference", "without --contrast difference", SPRM),
    _Rule(
        ("prior",),
        lambda o: o["prior"].startswith("clip:"),
        "in sprm, which always uses the prior, with the weight 1 - --omega",
        SPRM,
    ),
    _Rule(
        ("prior",),
        lambda o: not o["prior"].startswith("clip:") or o["label_weight"] + o["label_beside"] > 0,
        "with --label-weight 0 and --label-beside 0",
    ),
    _Rule(
        ("omega", "contrast", "negative", "negatives", "distillation", "intra_caption"),
        lambda o: not o["untrained"],
        "with --untrained",
        SPRM,
    ),
    _Rule(("prior_weight",), lambda o: o["intra_caption"] > 0, _NO_RANKING, NPair),
    _Rule(
        tuple(field.name for field in fields(Ranking) if field.name != "prior_weight"),
        lambda o: False,
        _NO_RANKING,
        NPair,
    ),
    _Rule(("margin",), lambda o: o["contrast"] == "triplet", "without --contrast triplet", NPair),
    _Rule(
        ("patch", "channels", "blocks", "reach", "half"), lambda o: o["map"] == "pixels", "without --map pixels", NPair
    ),
    _Rule(("class_inputs", "backbone_features"), lambda o: o["map"] == "features", "without --map features", NPair),
    _Rule(
        ("words_weight",),
        lambda o: (
            not (o["context"] or o["distillation"] or o["intra_caption"])
            and (o["text"], o["negatives"]) == ("gru", "none")
            and o["reduction"] != "max-words"
        ),
        "with --context, --text, --reduction max-words, --negatives, --distillation or --intra-caption",
        NPair,
    ),
    _Rule(
        ("cell", "bidirectional", "hidden_width"),
        lambda o: o["context"] and o["text"] == "gru",
        "without --context",
        NPair,
    ),
)


def refuse_idle_options(config: RecipeConfig, start: RecipeConfig, among: Sequence[str] | None = None) -> None:
    """Refuse options that differ from those of `start` and have no effect beside the others.

    Args:
        config: the options of a fit.
        start: the options of the preset, or the defaults, that they were changed from.
        among: arguments of a command line; options that are not in it are not refused.

    Raises:
        RunError: an option without effect; it names what would give it one.
    """
    before, options, flags = flat_options(start), flat_options(config), named_flags(among or ())
    for name, idle in idle_options(config).items():
        flag = f"--{name.replace('_', '-')}"
        if options[name] != before[name] and (among is None or flag in flags):
            raise RunError(f"{flag} has no effect {idle}; leave it out, or change the other.")


def idle_options(config: RecipeConfig) -> dict[str, str]:
    """The options that have no effect beside the others, with underscores, and when they have none, in words.

    Recipes outside this package may use an option as they like; they have none.
    """
    if not type(config).__module__.startswith("unboxed."):
        return {}
    options = flat_options(config)
    reads, needs = config.reads_prior, config.needs_prior
    known = {**options, "reads_prior": reads, "needs_prior": needs, "units": config.units}
    found: dict[str, str] = {}
    for rule in _RULES:
        if isinstance(config, rule.of) and not rule.counts(known):
            for name in rule.names:
                if name in options:
                    found.setdefault(name, rule.idle)
    return found


def named_flags(arguments: Sequence[str]) -> set[str]:
    """The options that arguments of a command line name, such as `--class-inputs` for `--no-class_inputs`."""
    return {argument.partition("=")[0].replace("_", "-").replace("--no-", "--") for argument in arguments}

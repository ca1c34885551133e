"""WordNet: affinities by hand on a small tree of nouns, its file, and a stand-in for NLTK."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from unboxed.errors import ModelError
from unboxed.text.wordnet import WordNet

LINES = """\
S\t1\tTops\tentity|thing
S\t2\tanimal\tanimal|beast\t1
S\t3\tanimal\tdog\t2
S\t4\tanimal\tpoodle\t3
S\t5\tperson\tperson\t1
S\t6\tperson\tman|adult male\t5
S\t7\tperson\tdog\t5
S\t8\tartifact\tpoodle\t1
S\t9\tartifact\tball\t1
S\t10\tfood\thot dog\t1
L\tentity\t1
L\tanimal\t2
L\tdog\t3 7
L\tpoodle\t4 8
L\tperson\t5
L\tman\t6
L\tball\t9
L\thot dog\t10
L\tDoG\t9
"""


@pytest.fixture
def wordnet(tmp_path: Path) -> WordNet:
    path = tmp_path / "nouns.tsv"
    path.write_text(LINES, encoding="utf-8")
    return WordNet.open(path)


def test_the_affinity_of_a_noun_and_a_class_is_the_rule_worked_out_by_hand(wordnet: WordNet) -> None:
    assert wordnet.affinity("dog", "dog") == 1
    assert wordnet.affinity("dogs", "dog") == 1  # the same lemma, inflected
    assert wordnet.affinity("poodle", "dog") == pytest.approx(0.95 - 0.02)
    assert wordnet.affinity("poodle", "animal") == pytest.approx(0.95 - 2 * 0.02)
    assert wordnet.affinity("animal", "dog") == pytest.approx(0.7 - 0.08)  # the class is one kind of the noun
    assert wordnet.affinity("beast", "dog") == 0  # "beast" has no L line: it is no lemma here
    assert wordnet.affinity("man", "dog") == 0
    assert wordnet.affinity("dog", "person") == pytest.approx((1 - 0.15) * (0.95 - 0.02))  # in its second sense
    assert wordnet.affinity("men", "person") == pytest.approx(0.95 - 0.02)


def test_class_names_of_several_words_and_variants(wordnet: WordNet) -> None:
    assert wordnet.affinity("ball", "sports ball") == pytest.approx(0.95)  # by the last word: no lemma as a whole
    assert wordnet.affinity("dog", "hot dog") == 0  # another lemma
    assert wordnet.affinity("poodle", "cat, dog") == pytest.approx(0.93)
    assert wordnet.affinity("poodle", "segmenter:dog") == pytest.approx(0.93)
    assert wordnet.affinity("poodle", "") == 0
    assert wordnet.affinity("", "dog") == 0


def test_lemmas_and_ancestors(wordnet: WordNet) -> None:
    assert wordnet.lemmas("dogs") == ("dog",) and wordnet.lemmas("hot dogs") == ("hot dog",)
    assert wordnet.synsets("dog") == ("3", "7", "9")  # the lower-case lemma's senses before the capitalised one's
    assert wordnet.ancestors("4") == {"4": 0, "3": 1, "2": 2, "1": 3}
    assert "poodles" in wordnet and "unicorn" not in wordnet


def test_a_cycle_of_hypernyms_ends(tmp_path: Path) -> None:
    assert WordNet({"a": ["1"], "b": ["2"]}, {"1": ["2"], "2": ["1"]}).ancestors("1") == {"1": 0, "2": 1}


def test_saving_and_opening_gives_the_same_answers(wordnet: WordNet, tmp_path: Path) -> None:
    wordnet.save(tmp_path / "again.tsv.gz")
    again = WordNet.open(tmp_path / "again.tsv.gz")
    assert [again.lemmas(noun) for noun in ("DoGs", "adult male")] == [
        wordnet.lemmas("DoGs"),
        wordnet.lemmas("adult male"),
    ]
    nouns = ["dog", "dogs", "poodle", "man", "men", "ball", "animal", "hot dog"]
    assert [again.affinity(a, b) for a in nouns for b in nouns] == [
        wordnet.affinity(a, b) for a in nouns for b in nouns
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "nouns.tsv").write_text(LINES, encoding="utf-8-sig")
    assert "entity" in WordNet.open(tmp_path / "nouns.tsv")


def test_unusable_files_are_model_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"no WordNet file .*missing"):
        WordNet.open(tmp_path / "missing.tsv.gz")
    for content in (b"not a noun file\n", b"L\tdog\t\n", b"\xff\xfe\x00", b"", gzip.compress(b"L\tdog\t1\n")[:-12]):
        path = tmp_path / "bad.tsv"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"bad\.tsv"):
            WordNet.open(path)
    monkeypatch.setattr("unboxed.text.wordnet._LARGEST", 1000)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(1001)))
    with pytest.raises(ModelError, match=r"bomb\.gz cannot be read \(it holds more than"):
        WordNet.open(tmp_path / "bomb.gz")


def test_nltk_is_read_if_installed_else_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk", None)
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(ModelError, match="Install nltk"):
        WordNet.from_nltk()

    class Synset(SimpleNamespace):
        def name(self) -> str:
            return str(self.id)

        def hypernyms(self) -> list[Synset]:
            return list(self.above)

    animal = Synset(id="animal.n.01", above=[])
    dog = Synset(id="dog.n.01", above=[animal])
    senses = {"dog": [dog], "guard_dog": [dog], "animal": [animal]}
    corpus = SimpleNamespace(
        all_lemma_names=lambda pos: senses,
        synsets=lambda name, pos: senses[name],
        all_synsets=lambda pos: [dog, animal],
    )
    monkeypatch.setitem(sys.modules, "nltk.corpus", SimpleNamespace(wordnet=corpus))
    assert WordNet.from_nltk().affinity("guard dogs", "animal") == pytest.approx(0.93)

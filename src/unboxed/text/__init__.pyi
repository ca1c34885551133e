from .encoding import EncodedCaption, encode_caption
from .lexicon import noun_key
from .phrases import PhraseWords, content_mask, content_or_all, head_noun, noun_phrases, phrase_words
from .pretrained import FrozenEncoder, PretrainedEncoder
from .recurrent import RecurrentEncoder
from .settings import TextConfig
from .tokens import Tokenizer, Vocabulary, Word, words
from .word_vectors import WordVectors
from .wordnet import WordNet

__all__ = [
    "EncodedCaption",
    "FrozenEncoder",
    "PhraseWords",
    "PretrainedEncoder",
    "RecurrentEncoder",
    "TextConfig",
    "Tokenizer",
    "Vocabulary",
    "Word",
    "WordNet",
    "WordVectors",
    "content_mask",
    "content_or_all",
    "encode_caption",
    "head_noun",
    "noun_key",
    "noun_phrases",
    "phrase_words",
    "words",
]

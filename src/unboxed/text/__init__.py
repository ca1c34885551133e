"""Captions as words, and words as vectors."""

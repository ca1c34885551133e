"""The studio: a page on which images are grounded, searched and browsed, and the HTTP service behind it."""

"""The studio: a page on which photographs are grounded, searched and browsed, and the HTTP service behind it."""

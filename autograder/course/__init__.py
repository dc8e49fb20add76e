"""Chapters as they are written, and the notebooks that are made of them."""

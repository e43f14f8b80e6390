"""Tunes a model on the rows of a selection, resumably, with a card that says which rows they were.

It must never know how the rows were chosen.
"""

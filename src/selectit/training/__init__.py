"""A model tuned on a selection, resumable, with a card that says which rows it was tuned on.

It knows nothing of how the rows were chosen.
"""

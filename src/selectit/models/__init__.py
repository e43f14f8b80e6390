"""From the name of a model to a folder that transformers loads.

Nothing here runs a model.
"""

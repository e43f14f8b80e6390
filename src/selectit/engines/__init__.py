"""Engines run a model; each offers one or more of the capabilities in `base`.

They are given texts and give numbers, and know neither run directories nor methods.
"""

"""Engines run a model; each has some of the capabilities, which are Protocols beside the requests in `signals`.

They are given texts and give numbers, and know neither run directories nor methods.
"""

"""Engines run a model. Each offers one or more of the capabilities in `base`."""

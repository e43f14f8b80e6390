"""Models behind an OpenAI-compatible server.

It sends texts and reads log-probabilities; it loads no weights.
"""

"""From stored signals to rows: which methods, what they read, scores, choices, and what is said of them.

It never opens an engine itself; `inference` does.
"""

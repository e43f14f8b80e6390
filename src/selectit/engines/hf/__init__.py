"""Models that transformers loads, in this process: ratings, losses, embeddings, replies, rewards.

It is given texts and gives numbers; it knows no run directory.
"""

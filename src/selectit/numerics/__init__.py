"""Mathematics on arrays: probabilities of labels, ranks, subsets, statistics, texts as numbers.

It knows no model, no run directory and no torch.
"""

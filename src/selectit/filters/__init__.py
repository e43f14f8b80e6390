"""Rows out before anything is chosen, each with the reason: overlap with evaluations, duplicates; languages; quotas."""

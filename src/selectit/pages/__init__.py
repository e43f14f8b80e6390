"""What a person looks at: the analyses of a run, its figures and its page.

Numbers come from stored columns only; no model is asked.
"""

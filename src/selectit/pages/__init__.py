"""What a person looks at: the page of a run, its figures, and the analyses behind both.

Numbers come from stored columns only; no model is asked, and nothing is chosen anew.
"""

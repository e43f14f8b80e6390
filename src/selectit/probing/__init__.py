"""Can a model tell good rows from bad ones? Defects are planted, scored, and told apart or not.

It makes data sets and tests them; it never chooses rows of the data.
"""

"""What a rating will cost before it is begun: tokens, passes, time, memory and disk.

It measures and multiplies; it stores nothing but the copy of the data, and rates nothing that is kept.
"""

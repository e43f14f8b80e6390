"""What can be asked about a row, and the columns that come back as arrays.

Nothing here asks: engines answer, `inference` stores, methods read.
"""

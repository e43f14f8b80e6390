"""What can be asked about a row, and the columns that come back as arrays.

A signal is a request class in a file of its own, which says all that the program knows of it. Nothing here loads a
model: engines answer, `inference` stores, methods read.
"""

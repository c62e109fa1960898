"""A simulator of AWS: Cost Explorer, STS and Organizations over HTTP, for demonstrations, tests and load.

It is a peer of the real services, not a part of the product: it imports nothing else of costbatch, and no
production code imports it.
"""

"""A simulator of AWS over HTTP: cost, identities, accounts, regions and resources.

For demonstrations, tests and load. It is a peer of the real services, not a part of the product: it imports
nothing else of costbatch, and no production code imports it.
"""

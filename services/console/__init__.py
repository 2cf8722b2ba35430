"""`crossrec console`: a web page for the people who run and tune a system.

It calls the ranking server and the gateway as any client does, reads names from the online store, and loads models from
the registry to compare them. Pages are thin; plain functions of this package make their content.
"""

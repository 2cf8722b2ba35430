"""`crossrec console`: a web page for the people who run and tune a system.

It asks the ranking server and the gateway as any client does, reads names in the online store, and opens models of the
registry itself to compare them. Pages are thin; what they show is made by plain functions here.
"""

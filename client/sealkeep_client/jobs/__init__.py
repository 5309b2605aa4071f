"""Pure calls that a worker may make, a module for each.

They stand apart, and nothing is loaded here: a worker loads what it is asked for, each time that there is one, and the
vault takes longer to load than most of these calls take.
"""

"""Cut photos on many machines: the folder run's own steps, laid out as stages of Ray Data.

Needs the extra `cluster`. What is written, and in which order, is in docs/cluster.md.
"""

"""Cut photos on many machines: the folder run's own steps, done by workers on a Ray cluster.

Needs the extra `cluster`. What is written, and in which order, is in docs/cluster.md.
"""

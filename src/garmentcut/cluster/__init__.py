"""Cuts photos on many machines: workers on a Ray cluster do the same steps as a folder run.

Needs the extra `cluster`. docs/cluster.md says what is written, and in which order.
"""

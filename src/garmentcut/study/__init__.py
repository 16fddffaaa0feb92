"""Comparisons of trainings: declared, run, and concluded from only as far as the intervals allow."""

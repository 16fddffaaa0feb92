"""Pixels and files: photos in, cutouts out; never torch."""

"""Pixels and files: reads photos and writes cutouts; never imports torch."""

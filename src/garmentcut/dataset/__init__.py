"""Makes training pairs of photos and retouchers' cutouts (`garmentcut ingest`), and feeds them, varied, to training."""

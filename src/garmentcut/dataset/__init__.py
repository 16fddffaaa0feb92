"""Makes training pairs from photos and retouchers' cutouts (`garmentcut ingest`) and feeds them to training."""

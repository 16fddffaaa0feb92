"""From photos and retouchers' cutouts to pairs that a network learns from: `garmentcut ingest`, and the loader."""

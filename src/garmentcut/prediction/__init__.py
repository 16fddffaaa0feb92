"""`garmentcut cut`: makes cutouts from a photo or a folder of photos."""

"""From a photo, or a folder of them, to cutouts: `garmentcut cut`."""

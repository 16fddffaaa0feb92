"""Photos and their cutouts to learn from: real ones and drawn ones."""

"""`garmentcut export`: makes a model file, with the same alphas, from a training's run folder."""

"""From a training's run folder to a model file that gives the same alphas: `garmentcut export`."""

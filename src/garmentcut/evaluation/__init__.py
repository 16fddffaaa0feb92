"""How good a model is: `garmentcut evaluate`, `audit` and `calibrate`."""

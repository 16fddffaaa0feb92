"""Networks, the weights that they start from, and the card in each model file."""

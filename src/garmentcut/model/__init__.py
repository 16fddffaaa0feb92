"""Networks, what they start from, and the card that travels in each model file."""

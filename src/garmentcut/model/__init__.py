"""Networks and the card that travels with each."""

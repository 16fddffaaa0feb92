"""What a long run reports about itself: metrics, health, log."""

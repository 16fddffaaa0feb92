"""What a run that goes on for long tells about itself: metrics, health, log."""

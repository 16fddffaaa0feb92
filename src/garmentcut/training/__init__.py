"""`garmentcut train`: losses, optimizers, schedules and the visible loop."""

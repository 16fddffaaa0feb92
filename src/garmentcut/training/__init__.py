"""`garmentcut train`: losses, optimizers, schedules and the training loop."""

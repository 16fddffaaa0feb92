"""Learn: losses, optimizers, schedules and the visible loop."""

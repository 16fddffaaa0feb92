"""From a run to a model file that proves to be the same."""

"""How good a model is: metrics, scores with intervals, the report."""

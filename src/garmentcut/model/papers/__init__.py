"""The networks from the papers that the proposal compares, each as published; recipes refer to them by name."""

"""The networks of the papers that the proposal compares, each as published; recipes build them by name."""

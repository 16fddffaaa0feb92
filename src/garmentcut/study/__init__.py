"""Studies, which compare trainings: declares and runs them, and draws only conclusions that the intervals support."""

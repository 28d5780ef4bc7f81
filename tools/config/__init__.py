"""Settings: the model, and reading it from a file, the environment and the command line."""

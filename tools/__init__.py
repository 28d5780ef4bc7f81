"""External commands under policy: what may run, how it runs, what came out of it."""

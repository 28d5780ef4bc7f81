"""A collector beside the service, as a watched child."""

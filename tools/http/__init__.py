"""The HTTP face: paths, who may use them, and how much of them."""

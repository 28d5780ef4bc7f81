"""Circuit breaking, retries and the pipeline that joins them."""

#!/usr/bin/env python3
"""Ends with 0 when the service in this container is ready: for health checks, without curl in the image."""

import os
import sys
from urllib.error import URLError
from urllib.request import urlopen

port = os.environ.get("TRACEFUSE_SERVE_PORT", "8080")
try:
    with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=4) as answer:
        sys.exit(answer.status != 200)
except URLError as error:
    sys.exit(f"not ready: {error.reason}")

"""One submission: bytes in, a report and the executed notebook out."""

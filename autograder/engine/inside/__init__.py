"""What runs inside the sandbox: the fork server, judges and kernels."""

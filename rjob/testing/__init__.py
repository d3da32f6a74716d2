"""Tools for testing transports: a conformance suite, a fake machine, a private SSH server."""

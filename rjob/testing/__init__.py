"""Owns what the authors of transports test with: a conformance suite, a fake machine, a private SSH server."""

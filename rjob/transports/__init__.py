"""Transports: running one command on one machine, with bytes in and out."""

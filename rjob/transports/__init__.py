"""Transports: how one command is run on one machine, with bytes in and out."""

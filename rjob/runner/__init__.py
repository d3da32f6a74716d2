"""The runner protocol: requests as bytes, replies as facts, states from facts. Nothing here opens anything."""

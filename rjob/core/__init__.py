"""The verbs: the one package that combines configuration, plugins, transports and the runner protocol."""

"""What the verbs do: the one place where configuration, plugins, transports and the runner protocol meet."""

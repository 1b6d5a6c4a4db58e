"""The service around the agents: commands, configuration, brokers, metrics and the terminal view."""

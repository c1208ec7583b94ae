"""When and in what order: the Prefect flows, the settings and the command line."""

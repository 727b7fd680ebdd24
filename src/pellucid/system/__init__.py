"""The process and its machine: memory, exit statuses, the installation that it runs from."""

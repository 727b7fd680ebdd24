"""What a process needs of its machine: memory, exit statuses, the installation it runs from."""

"""The typed settings tree and how it is read."""

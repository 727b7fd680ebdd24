"""The customers of a server: whose request it is, and what belongs to them."""

"""Credits: what a removal costs a customer, charged once."""

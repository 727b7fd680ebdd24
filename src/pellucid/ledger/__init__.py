"""Credits: what cutouts cost customers. A cutout is charged once."""

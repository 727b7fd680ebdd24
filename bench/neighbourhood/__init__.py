"""What `bench/neighbours.py` is made of: a server, origins, strangers, somebody well-behaved, and who watches them."""

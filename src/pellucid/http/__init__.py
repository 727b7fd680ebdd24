"""The only package that speaks HTTP to the outside: requests in, responses out."""

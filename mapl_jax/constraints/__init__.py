"""Instructions that a program can check, propose and put into words."""

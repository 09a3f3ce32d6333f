"""What a conductor is made of, and what the models need to know of it."""

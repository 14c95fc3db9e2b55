"""Networks, how they are trained, and what the stages ask of any of them."""

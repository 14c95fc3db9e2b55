"""Tables of what people said of explanations, written when it comes in; no run of the workflow makes them."""

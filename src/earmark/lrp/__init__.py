"""Layer-wise relevance propagation by modified gradients."""

"""What training minimises: tensors in, a scalar out."""

"""What has weights and a forward pass: shared by training and serving."""

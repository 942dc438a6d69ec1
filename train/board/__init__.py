"""What TensorBoard shows of a run: curves, pictures, and an overview."""

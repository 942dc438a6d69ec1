"""What happens in the steps of a stage: batches made of several sources, the loss, the optimizer, the loop."""

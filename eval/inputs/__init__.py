"""What commands read: checkpoints, scores of any network, parameters of a CRF, photographs, boxes."""

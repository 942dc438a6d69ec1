"""Finding the parameters of a CRF on the scores of a network: searching, learning, comparing."""

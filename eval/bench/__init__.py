"""Speed, memory and accuracy of the CRF, beside its peers."""

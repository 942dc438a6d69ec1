"""Speed on a GPU: measured on a device, and what its memory allows, on paper."""

"""One page on which a dense CRF can be asked why a pixel changed: what stands in it, and how it is written down."""

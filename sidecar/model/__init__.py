"""Words that all rooms share: samples, events, batches, names, limits, errors. Pure."""

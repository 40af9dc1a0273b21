"""What the course's notebooks import: models, activations, probes, metrics, splits, plots, datasets."""

"""Training of networks: data sets, the trainer, what it remembers and what it reports."""

"""What learns: codecs, policies, training."""

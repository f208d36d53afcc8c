"""From a base model and a dataset to the fused, quantised model that the suite serves."""

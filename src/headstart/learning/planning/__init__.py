"""What a training needs, before it is started: memory, arithmetic, GPUs."""

"""Our model files: load, save, what is bundled, what there is to know of one."""

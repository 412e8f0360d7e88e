"""What every other room stands on: errors, devices, memory, settings, whole files."""

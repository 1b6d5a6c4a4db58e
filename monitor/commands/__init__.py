"""The commands of sepsis-monitor, one module each."""

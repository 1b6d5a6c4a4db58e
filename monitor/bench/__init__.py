"""`sepsis-monitor bench`: what one machine can do, in figures that size a deployment."""

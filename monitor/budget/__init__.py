"""The live budget: a unit's raise threshold follows its measured burden of false alerts, within its policy's limits."""

"""The search for the best generator inside a budget: feasible archs, samplers, study, front."""

//! What a host's memory truly is, budgets that hold, reclaim hooks, learned footprints.

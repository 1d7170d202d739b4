//! Resource ledger that cannot lose capacity, and a fair async pool of warm objects.

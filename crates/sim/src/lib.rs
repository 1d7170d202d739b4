//! Virtual time for Plimsoll's production cores: traces in, figures out, with baselines and oracles.

//! The project's own checks and benches: `cargo xtask test`, `cargo xtask bench`.
fn main() {}

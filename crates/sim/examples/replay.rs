//! What each policy would do with a trace, as a table, as JSON, and as a picture:
//! `cargo run --release -p plimsoll-sim --features plot --example replay -- [TRACE [SVG]]`.
//! Without a trace it makes one up: an hour of conversations.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use plimsoll_sim::generate::Recipe;
use plimsoll_sim::replay::{ReplayOptions, serving};
use plimsoll_sim::trace::Trace;

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let trace = match args.next() {
        Some(path) => Trace::open(Path::new(&path))?,
        None => Recipe::conversation().requests(Duration::from_hours(1), 1),
    };
    let replay = serving(&trace, &ReplayOptions::default())?;
    print!("{replay}");
    for row in &replay.rows {
        println!("{}", serde_json::to_string(row)?);
    }
    if let Some(path) = args.next() {
        draw(&replay, Path::new(&path))?;
    }
    Ok(())
}

#[cfg(feature = "plot")]
fn draw(replay: &plimsoll_sim::replay::Replay, to: &Path) -> Result<(), Box<dyn Error>> {
    use plimsoll_sim::replay::PolicyName;
    Ok(std::fs::write(to, replay.svg(PolicyName::Plimsoll)?)?)
}

#[cfg(not(feature = "plot"))]
fn draw(_: &plimsoll_sim::replay::Replay, _: &Path) -> Result<(), Box<dyn Error>> {
    Err("a picture takes the feature `plot`".into())
}

//! Contenders that take turns.

/// One contender: its name, and what gives its figure in one round.
pub type Contender<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

/// Lets every contender give its figure in each of `rounds` rounds, beginning with another one
/// each time, and answers with the figures by contender in the order given.
///
/// A machine that slows down for a while does so to all of them: compare the medians, or the
/// figures round by round.
pub fn contest(rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<Vec<f64>> {
    let mut figures = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            figures[index].push((contenders[index].1)());
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn everybody_has_a_turn_in_each_round_and_goes_first_in_turn() {
        let order = RefCell::new(Vec::new());
        let contender = |name: &'static str, figure: f64| -> Contender<'_> {
            let order = &order;
            (
                name,
                Box::new(move || {
                    order.borrow_mut().push(name);
                    figure
                }),
            )
        };
        let figures = contest(2, &mut [contender("a", 1.0), contender("b", 2.0)]);
        assert_eq!(figures, [[1.0, 1.0], [2.0, 2.0]]);
        assert_eq!(*order.borrow(), ["a", "b", "b", "a"]);
    }
}

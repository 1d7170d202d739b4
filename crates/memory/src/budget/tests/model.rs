//! Random steps beside a plain model of what is held where.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve { node: usize, bytes: u64 },
    Grow { which: usize, bytes: u64 },
    Shrink { which: usize, bytes: u64 },
    Drop { which: usize },
    Split { which: usize, bytes: u64 },
    Merge { which: usize, other: usize },
    Transfer { which: usize, node: usize },
    LeafGrow { leaf: usize, bytes: u64 },
    LeafShrink { leaf: usize, bytes: u64 },
    Settle { leaf: usize },
    Carve { leaf: usize, bytes: u64 },
    Absorb { leaf: usize, which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (index, bytes) = (0..64_usize, 0..400_u64);
    prop_oneof![
        4 => (index.clone(), bytes.clone()).prop_map(|(node, bytes)| Step::Reserve { node, bytes }),
        2 => (index.clone(), bytes.clone()).prop_map(|(which, bytes)| Step::Grow { which, bytes }),
        2 => (index.clone(), bytes.clone()).prop_map(|(which, bytes)| Step::Shrink { which, bytes }),
        2 => index.clone().prop_map(|which| Step::Drop { which }),
        1 => (index.clone(), bytes.clone()).prop_map(|(which, bytes)| Step::Split { which, bytes }),
        1 => (index.clone(), index.clone()).prop_map(|(which, other)| Step::Merge { which, other }),
        2 => (index.clone(), index.clone()).prop_map(|(which, node)| Step::Transfer { which, node }),
        4 => (index.clone(), bytes.clone()).prop_map(|(leaf, bytes)| Step::LeafGrow { leaf, bytes }),
        4 => (index.clone(), bytes.clone()).prop_map(|(leaf, bytes)| Step::LeafShrink { leaf, bytes }),
        1 => index.clone().prop_map(|leaf| Step::Settle { leaf }),
        1 => (index.clone(), bytes).prop_map(|(leaf, bytes)| Step::Carve { leaf, bytes }),
        1 => (index.clone(), index).prop_map(|(leaf, which)| Step::Absorb { leaf, which }),
    ]
}

/// A tree of three levels, and everything that is held of it.
struct Bench {
    nodes: Vec<Budget>,
    parents: Vec<Option<usize>>,
    held: Vec<Reservation>,
    leaves: Vec<(usize, Leaf)>,
}

impl Bench {
    fn new(sharing: Sharing, batch: u64, lease: u64) -> Self {
        let config = BudgetConfig {
            batch: Bytes::new(batch),
            lease: Bytes::new(lease),
            ..BudgetConfig::default()
        };
        let host = Budget::root_shared(name("n0"), Bytes::new(1000), sharing, config).unwrap();
        let mut bench =
            Self { nodes: vec![host], parents: vec![None], held: Vec::new(), leaves: Vec::new() };
        for (parent, limit, guaranteed) in
            [(0, 700, 100), (0, 600, 0), (1, 500, 50), (1, 300, 0), (2, 600, 10)]
        {
            let allowance = Allowance::bytes(Bytes::new(limit))
                .guaranteed(Bytes::new(guaranteed))
                .shared(sharing);
            let name = name(&format!("n{}", bench.nodes.len()));
            bench.nodes.push(bench.nodes[parent].child(name, allowance).unwrap());
            bench.parents.push(Some(parent));
        }
        bench.leaves = [0, 3, 3, 4, 5].map(|node| (node, bench.nodes[node].leaf())).into();
        bench
    }

    fn apply(&mut self, step: Step) {
        let (nodes, count) = (self.nodes.len(), self.held.len());
        let leaves = self.leaves.len();
        let any = |which: usize| (count > 0).then(|| which % count.max(1));
        match step {
            Step::Reserve { node, bytes } => {
                self.held.extend(self.nodes[node % nodes].try_reserve(Bytes::new(bytes)).ok());
            }
            Step::Grow { which, bytes } => {
                let _ = any(which).map(|at| self.held[at].try_grow(Bytes::new(bytes)));
            }
            Step::Shrink { which, bytes } => {
                let _ = any(which).map(|at| self.held[at].shrink(Bytes::new(bytes)));
            }
            Step::Drop { which } => drop(any(which).map(|at| self.held.swap_remove(at))),
            Step::Split { which, bytes } => {
                let part = any(which).map(|at| self.held[at].split(Bytes::new(bytes)));
                self.held.extend(part);
            }
            Step::Merge { which, other } => {
                let Some(at) = any(other) else { return };
                let other = self.held.swap_remove(at);
                if self.held.is_empty() {
                    return self.held.push(other);
                }
                let at = which % self.held.len();
                let back = self.held[at].merge(other).err().map(|(back, _)| back);
                self.held.extend(back);
            }
            Step::Transfer { which, node } => {
                let to = self.nodes[node % nodes].clone();
                let _ = any(which).map(|at| self.held[at].transfer(&to));
            }
            Step::LeafGrow { leaf, bytes } => {
                let _ = self.leaves[leaf % leaves].1.try_grow(Bytes::new(bytes));
            }
            Step::LeafShrink { leaf, bytes } => {
                self.leaves[leaf % leaves].1.shrink(Bytes::new(bytes));
            }
            Step::Settle { leaf } => self.leaves[leaf % leaves].1.settle(),
            Step::Carve { leaf, bytes } => {
                let part = self.leaves[leaf % leaves].1.carve(Bytes::new(bytes));
                self.held.push(part);
            }
            Step::Absorb { leaf, which } => {
                let Some(at) = any(which) else { return };
                let part = self.held.swap_remove(at);
                let back = self.leaves[leaf % leaves].1.absorb(part).err();
                self.held.extend(back);
            }
        }
    }

    /// What is held in the subtree of each node, as the holders say.
    fn expected(&self) -> Vec<u64> {
        let mut sums = vec![0; self.nodes.len()];
        let mut add = |node: usize, bytes: Bytes| {
            let mut next = Some(node);
            while let Some(at) = next {
                sums[at] += bytes.get();
                next = self.parents[at];
            }
        };
        for held in &self.held {
            let at = self.nodes.iter().position(|node| node.id() == held.node()).unwrap();
            add(at, held.bytes());
        }
        for (node, leaf) in &self.leaves {
            add(*node, leaf.held());
        }
        sums
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (node, expected) in self.nodes.iter().zip(self.expected()) {
            let status = node.status();
            prop_assert_eq!(status.held, Bytes::new(expected), "{:?}", status);
            prop_assert!(status.charged <= status.limit, "{:?}", status);
            prop_assert_eq!(status.charged, status.held.saturating_add(status.slack));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(plimsoll_testkit::scale(48) as u32))]

    #[test]
    fn what_is_held_is_what_is_charged_and_never_past_a_limit(
        steps in prop::collection::vec(step(), 1..150),
        even: bool,
        batch in 0..200_u64,
        lease in 0..100_u64,
    ) {
        let sharing = if even { Sharing::Even } else { Sharing::FirstCome };
        let mut bench = Bench::new(sharing, batch, lease);
        for step in steps {
            bench.apply(step);
            bench.check()?;
        }
        bench.held.clear();
        bench.leaves.clear();
        bench.check()?;
        assert_whole(&bench.nodes[0]);
    }
}

//! The fewest moves that even out workers.
//!
//! Moving a task costs it its caches, so evenness is bought with as few moves as can be, and only
//! where it is missing by enough: between the two thresholds nothing is begun. Each step takes the
//! one move that brings the busiest worker and the idlest closest together, which is the one that
//! lowers the peak the most; a task that was moved stays where it is for a while. The fewest moves of
//! all are hard to find; against trying everything, on random cases of a few tasks, about two moves
//! in a hundred are more than it takes.
//!
//! Source: the bounded-move greedy of Aggarwal, Motwani, Zhu, *The Load Rebalancing Problem*
//! (SPAA 2003).

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{Ratio, Task, TaskId, Timestamp, WorkerId, WorkerMove, WorkerMoves};

/// How a [`Balancer`] balances. Every value is a valid one.
#[derive(Clone, Debug, PartialEq)]
pub struct BalanceConfig {
    /// From which imbalance (the busiest worker's load ÷ the mean) on tasks are moved. Default
    /// 1.2.
    pub begin_above: Ratio,
    /// At which imbalance moving ends. Default 1.05; the larger of the two thresholds begins.
    pub end_below: Ratio,
    /// By how much of the mean a move must bring two workers closer to be worth it. Default 5%.
    pub least_gain: Ratio,
    /// How many moves one answer has at most. Default 16.
    pub most_moves: usize,
    /// How long a task that was moved stays. Default 10 s.
    pub settle_for: Duration,
    /// Time constant of the measured load. Default 5 s.
    pub load_over: Duration,
    /// How long after it was last told of a task counts. Default 30 s.
    pub forget_after: Duration,
    /// How many tasks are known at once; the one longest silent makes room. Default 65,536.
    pub most_tasks: usize,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            begin_above: Ratio::saturating(1.2),
            end_below: Ratio::saturating(1.05),
            least_gain: Ratio::saturating(0.05),
            most_moves: 16,
            settle_for: Duration::from_secs(10),
            load_over: Duration::from_secs(5),
            forget_after: Duration::from_secs(30),
            most_tasks: 1 << 16,
        }
    }
}

/// Knows which task runs where and what it costs, and says what to move.
///
/// Pure: it is told the time. Asking changes nothing; that a task was moved is learned from its
/// next report.
#[derive(Debug)]
pub struct Balancer {
    config: BalanceConfig,
    workers: BTreeMap<WorkerId, Timestamp>,
    tasks: BTreeMap<TaskId, Placed>,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    worker: WorkerId,
    /// Cores that it keeps busy.
    load: f64,
    seen: Timestamp,
    moved: Option<Timestamp>,
}

/// A task as the algorithm sees it.
#[derive(Clone, Copy, Debug)]
struct Movable {
    task: TaskId,
    load: f64,
}

impl Balancer {
    /// A balancer without workers.
    pub const fn new(config: BalanceConfig) -> Self {
        Self { config, workers: BTreeMap::new(), tasks: BTreeMap::new() }
    }

    /// Lets `worker` take tasks, even before it has one.
    pub fn add_worker(&mut self, worker: WorkerId) {
        self.workers.insert(worker, Timestamp::MAX);
    }

    /// Takes `worker` and its tasks out.
    pub fn remove_worker(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
        self.tasks.retain(|_, placed| placed.worker != worker);
    }

    /// Learns what a task used on its worker; one without a worker can't be moved, and is ignored.
    pub fn track(&mut self, task: &Task) {
        let Some(worker) = task.worker else { return };
        // A worker that was added stays; one known by its tasks alone goes with the last of them.
        let until = self.workers.entry(worker).or_insert(task.at);
        *until = (*until).max(task.at);
        let fresh = Placed { worker, load: 0.0, seen: task.at, moved: None };
        let is_new = !self.tasks.contains_key(&task.id);
        if is_new && self.tasks.len() >= self.config.most_tasks {
            let silent = self.tasks.iter().min_by_key(|(_, placed)| placed.seen);
            if let Some(id) = silent.map(|(id, _)| *id) {
                self.tasks.remove(&id);
            }
        }
        let placed = self.tasks.entry(task.id).or_insert(fresh);
        let elapsed = task.at.saturating_since(placed.seen).as_secs_f64();
        if elapsed > 0.0 {
            let rate = task.cpu.as_secs_f64() / elapsed;
            let first = placed.load == 0.0;
            let over = self.config.load_over.as_secs_f64().max(1e-9);
            let keep = if first { 0.0 } else { (-elapsed / over).exp() };
            placed.load = keep * placed.load + (1.0 - keep) * rate;
        }
        if placed.worker != worker {
            (placed.worker, placed.moved) = (worker, Some(task.at));
        }
        placed.seen = placed.seen.max(task.at);
    }

    /// What to move; nothing where the workers are even enough.
    pub fn balance(&self, now: Timestamp) -> WorkerMoves {
        let is_known = |seen: Timestamp| now.saturating_since(seen) <= self.config.forget_after;
        let workers = self.workers.iter().filter(|(_, seen)| is_known(**seen));
        let mut loads: BTreeMap<WorkerId, f64> =
            workers.map(|(worker, _)| (*worker, 0.0)).collect();
        let mut movable: BTreeMap<WorkerId, Vec<Movable>> = BTreeMap::new();
        for (task, placed) in self.tasks.iter().filter(|(_, placed)| is_known(placed.seen)) {
            let Some(sum) = loads.get_mut(&placed.worker) else { continue };
            *sum += placed.load;
            let is_settling = placed
                .moved
                .is_some_and(|moved| now.saturating_since(moved) < self.config.settle_for);
            if placed.load > 0.0 && !is_settling {
                let tasks = movable.entry(placed.worker).or_default();
                tasks.push(Movable { task: *task, load: placed.load });
            }
        }
        let before = imbalance(&loads);
        let moves = if before > self.config.begin_above.get().max(self.config.end_below.get()) {
            self.moves(&mut loads, movable)
        } else {
            Vec::new()
        };
        WorkerMoves {
            imbalance_before: Ratio::saturating(before),
            imbalance_after: Ratio::saturating(if moves.is_empty() {
                before
            } else {
                imbalance(&loads)
            }),
            moves,
        }
    }

    fn moves(
        &self,
        loads: &mut BTreeMap<WorkerId, f64>,
        mut movable: BTreeMap<WorkerId, Vec<Movable>>,
    ) -> Vec<WorkerMove> {
        let mut moves = Vec::new();
        let mean = loads.values().sum::<f64>() / loads.len().max(1) as f64;
        let least_gain = self.config.least_gain.get() * mean;
        let by_load = |a: &(&WorkerId, &f64), b: &(&WorkerId, &f64)| a.1.total_cmp(b.1);
        while moves.len() < self.config.most_moves && imbalance(loads) > self.config.end_below.get()
        {
            let busiest = loads.iter().max_by(by_load).map(|(worker, load)| (*worker, *load));
            let idlest = loads.iter().min_by(by_load).map(|(worker, load)| (*worker, *load));
            let (Some((from, high)), Some((to, low))) = (busiest, idlest) else { break };
            let half = (high - low) / 2.0;
            let tasks = movable.entry(from).or_default();
            let closest = tasks
                .iter()
                .enumerate()
                .min_by(|(_, a), (_, b)| (a.load - half).abs().total_cmp(&(b.load - half).abs()));
            let Some((index, chosen)) = closest.map(|(index, chosen)| (index, *chosen)) else {
                break;
            };
            // A task as large as the difference would only change who is the busiest, and a tiny
            // one is not worth its caches.
            let gain = chosen.load.min(high - low - chosen.load);
            if gain <= 0.0 || gain < least_gain {
                break;
            }
            tasks.swap_remove(index);
            loads.insert(from, high - chosen.load);
            loads.insert(to, low + chosen.load);
            moves.push(WorkerMove { task: chosen.task, from, to });
        }
        moves
    }
}

/// The busiest worker's load ÷ the mean; 1 where there is no load.
fn imbalance(loads: &BTreeMap<WorkerId, f64>) -> f64 {
    let sum: f64 = loads.values().sum();
    let most = loads.values().copied().fold(0.0, f64::max);
    if sum > 0.0 { most * loads.len() as f64 / sum } else { 1.0 }
}

#[cfg(test)]
mod tests;

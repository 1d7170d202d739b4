//! Who knows the future.

use std::time::Duration;

use plimsoll_core_types::{ResourceVector, Timestamp};

use super::{is_busy, promised, ready};
use crate::serving::{Command, Happening, Job, ModelState, ModelView, Policy};

/// Loads a model just before its next request, and lets the model give way whose next request is
/// farthest away, the larger one where they are alike.
///
/// Belady's rule (*A study of replacement algorithms*, 1966) with loads that take time. Which
/// models to hold is a knapsack over time, so that this is what knowing the future is worth to a
/// greedy rule, and no proven bound.
#[derive(Clone, Debug)]
pub struct Clairvoyant {
    /// For each model when it is asked for, ascending, and how many of those have come.
    futures: Vec<(Vec<Timestamp>, usize)>,
}

impl Clairvoyant {
    /// An oracle for `jobs` on `models` models.
    pub fn new(models: usize, jobs: &[Job]) -> Self {
        let mut futures = vec![(Vec::new(), 0); models];
        for job in jobs {
            if let Some((future, _)) = futures.get_mut(job.model) {
                future.push(job.at);
            }
        }
        for (future, _) in &mut futures {
            future.sort_unstable();
        }
        Self { futures }
    }

    /// When a model is needed next: now where it has work.
    fn next_need(&self, index: usize, model: &ModelView, now: Timestamp) -> Timestamp {
        if is_busy(model) {
            return now;
        }
        let (future, came) = &self.futures[index];
        future.get(*came).copied().unwrap_or(Timestamp::MAX)
    }

    /// What has to go so that `wanted` fits by `due`: none where that takes models that are needed
    /// before they could be back.
    fn victims(
        &self,
        wanted: usize,
        due: Timestamp,
        models: &[ModelView],
        room: &ResourceVector,
        now: Timestamp,
    ) -> Option<Vec<usize>> {
        let mut lacking = models[wanted].spec.amount.saturating_sub(room);
        let mut spare: Vec<_> = ready(models)
            .map(|(index, model)| (self.next_need(index, model, now), index))
            .filter(|(need, _)| *need > due)
            .collect();
        spare.sort_by_key(|(need, index)| {
            (std::cmp::Reverse(*need), std::cmp::Reverse(models[*index].spec.amount.memory()))
        });
        let mut victims = Vec::new();
        for (_, index) in spare {
            if lacking.is_zero() {
                break;
            }
            lacking = lacking.saturating_sub(&models[index].spec.amount);
            victims.push(index);
        }
        lacking.is_zero().then_some(victims)
    }
}

impl Policy for Clairvoyant {
    fn decide(
        &mut self,
        what: Happening,
        models: &[ModelView],
        limit: &ResourceVector,
        now: Timestamp,
    ) -> Vec<Command> {
        if let Happening::Arrived(index) = what {
            self.futures[index].1 = models[index].arrivals as usize;
        }
        let mut wanted: Vec<_> = models
            .iter()
            .enumerate()
            .filter(|(_, model)| model.state == ModelState::Stopped)
            .map(|(index, model)| (self.next_need(index, model, now), index))
            .filter(|(need, index)| {
                let ahead = models[*index].spec.load_time + Duration::from_millis(1);
                *need < Timestamp::MAX && need.saturating_sub(ahead) <= now
            })
            .collect();
        wanted.sort_by_key(|(need, index)| (*need, models[*index].oldest, *index));
        let mut room = limit.saturating_sub(&promised(models));
        let draining = models.iter().filter(|model| model.state == ModelState::Draining);
        let leaving = draining.fold(ResourceVector::ZERO, |s, m| s.saturating_add(&m.spec.amount));
        let mut soon = room.saturating_add(&leaving);
        let mut commands = Vec::new();
        for (need, index) in wanted {
            let amount = models[index].spec.amount;
            if amount.fits_in(&room) {
                commands.push(Command::Load(index));
                room = room.saturating_sub(&amount);
                soon = soon.saturating_sub(&amount);
            } else if !amount.fits_in(&soon) && commands.is_empty() {
                // What goes frees its room at once where it is idle, and the load follows then.
                // One that waits already gets an idle model's place however soon that is needed.
                let due = if need <= now { now } else { need };
                let victims = self.victims(index, due, models, &soon, now);
                return victims.unwrap_or_default().into_iter().map(Command::Evict).collect();
            }
        }
        commands
    }
}

//! Something kept for each model from one snapshot to the next.

use std::collections::HashMap;

use plimsoll_core_types::{EngineSnapshot, ModelId};

/// One `T` for each engine of the snapshot that was last followed, in its order.
///
/// Fleets list their engines in the same order time after time, so that nothing is looked up by
/// name as long as they do.
#[derive(Debug)]
pub(crate) struct PerModel<T> {
    kept: Vec<(ModelId, T)>,
    places: HashMap<ModelId, usize>,
}

impl<T> Default for PerModel<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), places: HashMap::new() }
    }
}

impl<T> PerModel<T> {
    /// Keeps what there is for each of `engines`, makes what is missing, and forgets the rest.
    /// Answers with what is kept, in the order of `engines`.
    pub(crate) fn follow(
        &mut self,
        engines: &[EngineSnapshot],
        mut fresh: impl FnMut(&EngineSnapshot) -> T,
    ) -> impl Iterator<Item = &mut T> {
        let same = self.kept.len() == engines.len()
            && self.kept.iter().zip(engines).all(|((model, _), engine)| *model == engine.model);
        if !same {
            let mut known: HashMap<ModelId, T> = self.kept.drain(..).collect();
            self.kept.extend(engines.iter().map(|engine| {
                let kept = known.remove(&engine.model).unwrap_or_else(|| fresh(engine));
                (engine.model.clone(), kept)
            }));
            let places = self.kept.iter().zip(0..);
            self.places = places.map(|((model, _), place)| (model.clone(), place)).collect();
        }
        self.kept.iter_mut().map(|(_, kept)| kept)
    }

    pub(crate) fn get(&self, model: &ModelId) -> Option<&T> {
        self.kept.get(*self.places.get(model)?).map(|(_, kept)| kept)
    }

    pub(crate) fn get_mut(&mut self, model: &ModelId) -> Option<&mut T> {
        self.kept.get_mut(*self.places.get(model)?).map(|(_, kept)| kept)
    }

    /// All there is, in the order of the engines.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.kept.iter().map(|(_, kept)| kept)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::plan::tests::stopped;

    #[test]
    fn what_is_kept_follows_its_model_wherever_it_is_listed() {
        let (mut kept, mut made) = (PerModel::default(), 0);
        let mut follow = |names: &[&str]| {
            let engines: Vec<_> = names.iter().map(|name| stopped(name, 1)).collect();
            let fresh = |_: &EngineSnapshot| {
                made += 1;
                made
            };
            let values: Vec<i32> = kept.follow(&engines, fresh).map(|value| *value).collect();
            values
        };
        assert_eq!(follow(&["a", "b", "c"]), [1, 2, 3]);
        assert_eq!(follow(&["a", "b", "c"]), [1, 2, 3]);
        assert_eq!(follow(&["c", "a"]), [3, 1]);
        assert_eq!(follow(&["c", "b", "a"]), [3, 4, 1], "b was forgotten");
        let get = |name| kept.get(&ModelId::new(name).unwrap()).copied();
        assert_eq!((get("a"), get("b"), get("z")), (Some(1), Some(4), None));
        assert_eq!(kept.values().sum::<i32>(), 8);
    }
}

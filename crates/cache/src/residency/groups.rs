//! Models that come and go together, and models of which only one may be resident.

use std::collections::HashMap;

use plimsoll_core_types::ModelId;
use serde::{Deserialize, Serialize};

/// How many groups there may be.
const MOST_GROUPS: usize = 1024;

/// What the members of a group have to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupKind {
    /// One is of no use without the others, as a model and the small one that drafts for it: they
    /// are loaded together, and together they go.
    Together,
    /// At most one is resident, as several quantizations of one model, or tenants of one device.
    OneOf,
}

/// Models whose residence depends on each other's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How.
    pub kind: GroupKind,
    /// Which; two at least.
    pub members: Vec<ModelId>,
}

/// Why groups can't be as they were given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// There are too many.
    #[error("there are {given} groups; there may be {MOST_GROUPS}")]
    TooMany {
        /// How many were given.
        given: usize,
    },
    /// A group of one or none.
    #[error("group {group} has {given} members; it must have at least 2")]
    TooFew {
        /// Which group, from 0.
        group: usize,
        /// How many members it has.
        given: usize,
    },
    /// A group names a model twice.
    #[error("group {group} names {model} twice; once is enough")]
    Twice {
        /// Which group, from 0.
        group: usize,
        /// Which model.
        model: ModelId,
    },
    /// A model is in two groups of one kind.
    #[error("{model} is in groups {first} and {second}; it may be in one of each kind")]
    InTwo {
        /// Which model.
        model: ModelId,
        /// One of its groups, from 0.
        first: usize,
        /// The other.
        second: usize,
    },
    /// Two models can be resident neither together nor apart.
    #[error(
        "group {together} keeps {one} and {other} together, and group {apart} keeps them apart"
    )]
    Contradiction {
        /// One of the models.
        one: ModelId,
        /// The other.
        other: ModelId,
        /// The group that keeps them together, from 0.
        together: usize,
        /// The group that keeps them apart.
        apart: usize,
    },
}

/// Groups that don't contradict each other: a model is in at most one of each kind, and no two
/// models are kept both together and apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Group>", into = "Vec<Group>")]
pub struct Groups {
    all: Vec<Group>,
    together: HashMap<ModelId, usize>,
    one_of: HashMap<ModelId, usize>,
}

impl Groups {
    /// All of `groups`.
    ///
    /// # Errors
    ///
    /// The first group that can't be, or can't be beside another.
    pub fn new(groups: Vec<Group>) -> Result<Self, GroupError> {
        if groups.len() > MOST_GROUPS {
            return Err(GroupError::TooMany { given: groups.len() });
        }
        let (mut together, mut one_of) = (HashMap::new(), HashMap::new());
        for (group, Group { kind, members }) in groups.iter().enumerate() {
            let known = if *kind == GroupKind::Together { &mut together } else { &mut one_of };
            if members.len() < 2 {
                return Err(GroupError::TooFew { group, given: members.len() });
            }
            for model in members {
                let Some(first) = known.insert(model.clone(), group) else { continue };
                let model = model.clone();
                return Err(if first == group {
                    GroupError::Twice { group, model }
                } else {
                    GroupError::InTwo { model, first, second: group }
                });
            }
        }
        let groups = Self { all: groups, together, one_of };
        groups.contradiction().map_or(Ok(groups), Err)
    }

    fn contradiction(&self) -> Option<GroupError> {
        let whole = self.all.iter().enumerate();
        whole.filter(|(_, group)| group.kind == GroupKind::Together).find_map(
            |(together, group)| {
                let mut seen: HashMap<usize, &ModelId> = HashMap::new();
                group.members.iter().find_map(|other| {
                    let apart = *self.one_of.get(other)?;
                    let (one, other) = (seen.insert(apart, other)?.clone(), other.clone());
                    Some(GroupError::Contradiction { one, other, together, apart })
                })
            },
        )
    }

    /// True where no model is in a group.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The models that are loaded when `model` is, itself among them.
    pub fn loaded_with<'a>(&'a self, model: &'a ModelId) -> &'a [ModelId] {
        self.together
            .get(model)
            .map_or(std::slice::from_ref(model), |group| &self.all[*group].members)
    }

    /// True where `one` may not be resident while `other` is.
    pub fn exclude(&self, one: &ModelId, other: &ModelId) -> bool {
        let group = |model| self.one_of.get(model);
        one != other && group(one).is_some() && group(one) == group(other)
    }

    /// Which group keeps `model` together with others.
    pub(super) fn whole_of(&self, model: &ModelId) -> Option<usize> {
        self.together.get(model).copied()
    }
}

impl TryFrom<Vec<Group>> for Groups {
    type Error = GroupError;

    fn try_from(groups: Vec<Group>) -> Result<Self, GroupError> {
        Self::new(groups)
    }
}

impl From<Groups> for Vec<Group> {
    fn from(groups: Groups) -> Self {
        groups.all
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use GroupKind::{OneOf, Together};

    pub(in crate::residency) fn id(name: &str) -> ModelId {
        ModelId::new(name).unwrap()
    }

    pub(in crate::residency) fn groups(all: &[(GroupKind, &[&str])]) -> Result<Groups, GroupError> {
        let group = |(kind, members): &(GroupKind, &[&str])| Group {
            kind: *kind,
            members: members.iter().map(|name| id(name)).collect(),
        };
        Groups::new(all.iter().map(group).collect())
    }

    #[test]
    fn groups_that_can_not_be_are_refused() {
        let check = |all: &[(GroupKind, &[&str])], expected: &str| {
            assert_eq!(groups(all).unwrap_err().to_string(), expected);
        };
        check(&[(OneOf, &["a"])], "group 0 has 1 members; it must have at least 2");
        check(&[(OneOf, &["a", "b", "a"])], "group 0 names a twice; once is enough");
        check(
            &[(OneOf, &["a", "b"]), (OneOf, &["b", "c"])],
            "b is in groups 0 and 1; it may be in one of each kind",
        );
        check(
            &[(Together, &["a", "b", "c"]), (OneOf, &["c", "d", "a"])],
            "group 0 keeps a and c together, and group 1 keeps them apart",
        );
        assert!(groups(&[(Together, &["a", "b"]), (OneOf, &["b", "c"])]).is_ok());
        let text = r#"[{"kind":"one-of","members":["a","a"]}]"#;
        assert!(serde_json::from_str::<Groups>(text).unwrap_err().to_string().contains("twice"));
    }
}

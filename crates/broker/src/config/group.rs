//! `[groups.NAME]`: models that come and go together, and those of which one is loaded at a time.

use std::str::FromStr;

use plimsoll_cache::residency::{Group, GroupError, GroupKind, Groups};
use plimsoll_core_types::ModelId;

use super::model::{EngineConfig, ModelConfig};
use super::reader::{Reader, Section};

/// The groups, and what each is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupsConfig {
    pub(crate) groups: Groups,
    /// In the order of `groups`.
    pub(crate) names: Vec<String>,
}

struct Kind(GroupKind);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no kind of group; it must be \"together\" or \"one-of\"")]
struct KindError(String);

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        match text {
            "together" => Ok(Self(GroupKind::Together)),
            "one-of" => Ok(Self(GroupKind::OneOf)),
            other => Err(KindError(other.to_owned())),
        }
    }
}

/// Every group of the document, of `models`.
pub(super) fn groups(
    root: &mut Section<'_>,
    models: &[ModelConfig],
    reader: &mut Reader<'_>,
) -> GroupsConfig {
    let mut config = GroupsConfig::default();
    let Some(all) = root.section("groups", reader) else { return config };
    for (name, mut section) in all.named(reader) {
        let kind: Option<Kind> = section.parse("kind", reader);
        let members = section.texts("members", reader);
        if kind.is_none() && !section.has("kind") {
            section.object("kind", "say \"together\" or \"one-of\"".to_owned(), reader);
        }
        if members.is_none() && !section.has("members") {
            section.object("members", "name two models at least".to_owned(), reader);
        }
        if let (Some(Kind(kind)), Some(members)) = (kind, members) {
            match group(kind, &members, models) {
                Ok(group) => config.add(name, group, &section, reader),
                Err(mistakes) => {
                    for what in mistakes {
                        section.object("members", what, reader);
                    }
                }
            }
        }
        section.finish(reader);
    }
    config
}

/// The group, or everything that is wrong with it alone.
fn group(
    kind: GroupKind,
    members: &[String],
    models: &[ModelConfig],
) -> Result<Group, Vec<String>> {
    let find = |name: &String| models.iter().find(|model| model.id.as_str() == name);
    let mistakes: Vec<_> = members
        .iter()
        .filter_map(|name| match find(name) {
            None => Some(format!("there is no model {name}")),
            Some(model) => unfit(kind, model),
        })
        .collect();
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let members = members.iter().filter_map(find).map(|model| model.id.clone());
    Ok(Group { kind, members: members.collect() })
}

/// Why `model` can be in no group of this kind.
fn unfit(kind: GroupKind, model: &ModelConfig) -> Option<String> {
    let ModelConfig { id, replicas, .. } = model;
    if *replicas > 1 {
        return Some(format!("{id} has {replicas} replicas; a model of a group has one"));
    }
    if kind == GroupKind::Together {
        return None;
    }
    if model.pin {
        return Some(format!("{id} is pinned, which keeps the others out for ever"));
    }
    let stays = matches!(&model.engine, EngineConfig::Url { kind: None, .. });
    stays.then(|| format!("{id} can't be made to go: say the kind of server at its url"))
}

impl GroupsConfig {
    /// Adds a group, unless it can't be beside those that are there.
    fn add(&mut self, name: String, group: Group, section: &Section<'_>, reader: &mut Reader<'_>) {
        let mut all: Vec<Group> = self.groups.clone().into();
        all.push(group);
        match Groups::new(all) {
            Ok(groups) => {
                self.groups = groups;
                self.names.push(name);
            }
            Err(error) => section.object("members", self.explain(&error), reader),
        }
    }

    /// The same with the groups' names instead of their numbers.
    fn explain(&self, error: &GroupError) -> String {
        let name = |group: &usize| self.names.get(*group).map_or("this group", String::as_str);
        match error {
            GroupError::TooFew { given, .. } => {
                format!("it names {given} of at least 2 models")
            }
            GroupError::Twice { model, .. } => format!("it names {model} twice; once is enough"),
            GroupError::InTwo { model, first, .. } => {
                format!("{model} is in {} already; it may be in one of each kind", name(first))
            }
            GroupError::Contradiction { one, other, together, apart } => format!(
                "{} keeps {one} and {other} together, and {} keeps them apart",
                name(together),
                name(apart)
            ),
            other => other.to_string(),
        }
    }

    /// The group that keeps `model` together with others.
    pub(crate) fn together<'a>(&'a self, model: &'a ModelId) -> &'a [ModelId] {
        self.groups.loaded_with(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};

    const MODELS: &str = r#"
[models]
a = { embedded = "8Mi" }
b = { embedded = "8Mi" }
c = { embedded = "8Mi", pin = true }
d = { embedded = "8Mi", replicas = 2 }
e = { url = "http://127.0.0.1:9" }
f = { url = "http://127.0.0.1:9", kind = "ollama" }
"#;

    fn parse(groups: &str) -> Result<GroupsConfig, Vec<String>> {
        let text = format!("{groups}{MODELS}");
        let config = Config::parse(&text, &Overrides::default());
        let mistakes = |all: Vec<crate::config::Mistake>| {
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        config.map(|config| config.groups).map_err(mistakes)
    }

    #[test]
    fn groups_are_read_with_their_names() {
        let config = parse(
            "[groups]\nspec = { kind = \"together\", members = [\"a\", \"c\"] }\n\
             size = { kind = \"one-of\", members = [\"a\", \"b\", \"f\"] }\n",
        );
        let config = config.unwrap();
        let id = |name: &str| ModelId::new(name).unwrap();
        assert_eq!(config.names.len(), 2);
        assert_eq!(config.together(&id("a")), [id("a"), id("c")]);
        assert!(config.groups.exclude(&id("a"), &id("f")));
        assert!(!config.groups.exclude(&id("a"), &id("c")));
    }

    #[test]
    fn every_mistake_names_its_group_and_key() {
        let check = |group: &str, expected: &str| {
            let mistakes = parse(&format!("[groups.x]\n{group}\n")).unwrap_err();
            assert!(mistakes.iter().any(|text| text.contains(expected)), "{group}: {mistakes:#?}");
        };
        check("members = [\"a\", \"b\"]", "line 1: groups.x.kind: say \"together\" or \"one-of\"");
        check("kind = \"both\"\nmembers = [\"a\", \"b\"]", "line 2: groups.x.kind: \"both\" is no");
        check("kind = \"one-of\"", "line 1: groups.x.members: name two models");
        check("kind = \"one-of\"\nmembers = [\"a\"]", "line 3: groups.x.members: it names 1 of");
        check("kind = \"one-of\"\nmembers = [\"a\", \"a\"]", "groups.x.members: it names a twice");
        check(
            "kind = \"one-of\"\nmembers = [\"a\", \"z\"]",
            "groups.x.members: there is no model z",
        );
        check("kind = \"one-of\"\nmembers = [\"a\", \"c\"]", "groups.x.members: c is pinned");
        check(
            "kind = \"together\"\nmembers = [\"a\", \"d\"]",
            "groups.x.members: d has 2 replicas",
        );
        check(
            "kind = \"one-of\"\nmembers = [\"a\", \"e\"]",
            "groups.x.members: e can't be made to go",
        );
        check("member = []", "groups.x.member: unknown key; did you mean members?");
    }

    #[test]
    fn groups_that_contradict_each_other_are_both_named() {
        let check = |x: (&str, &str), y: (&str, &str), expected: &str| {
            let group = |name: &str, (kind, members): (&str, &str)| {
                format!("[groups.{name}]\nkind = \"{kind}\"\nmembers = [{members}]\n")
            };
            let mistakes = parse(&format!("{}{}", group("x", x), group("y", y))).unwrap_err();
            assert_eq!(mistakes, [expected]);
        };
        check(
            ("one-of", "\"a\", \"b\""),
            ("one-of", "\"b\", \"f\""),
            "line 6: groups.y.members: b is in x already; it may be in one of each kind",
        );
        check(
            ("together", "\"a\", \"b\""),
            ("one-of", "\"a\", \"b\""),
            "line 6: groups.y.members: x keeps a and b together, and this group keeps them apart",
        );
    }
}

//! Reads a TOML document key by key, and collects every mistake with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something that is wrong in a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Counted from 1.
    pub(crate) line: usize,
    /// Where, as `models.llama.memory`; empty where the document itself is no TOML.
    pub(crate) key: String,
    /// What was given, and what is allowed.
    pub(crate) what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return write!(f, "line {}: {}", self.line, self.what);
        }
        write!(f, "line {}: {}: {}", self.line, self.key, self.what)
    }
}

/// The mistakes so far, and the text that their lines are counted in.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

/// One table of the document. What is not asked for by [`finish`](Section::finish) is unknown.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: String,
    table: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    known: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, mistakes: Vec::new() }
    }

    pub(super) fn complain(&mut self, span: &Range<usize>, key: &str, what: String) {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = before.split(|byte| *byte == b'\n').count();
        self.mistakes.push(Mistake { line, key: key.to_owned(), what });
    }

    /// Every mistake, in the order of the document.
    pub(super) fn into_mistakes(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by_key(|mistake| mistake.line);
        self.mistakes
    }
}

impl<'a> Section<'a> {
    pub(super) fn new(path: &str, table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        Self { path: path.to_owned(), table: Some(table), span, known: BTreeSet::new() }
    }

    /// A table that is not there, of which every key is absent.
    pub(super) fn absent(path: &str) -> Self {
        Self { path: path.to_owned(), table: None, span: 0..0, known: BTreeSet::new() }
    }

    /// The table under `key`, where there is one.
    pub(super) fn section(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        let value = self.value(key)?;
        let path = self.path_of(key);
        let Some(table) = value.get_ref().as_table() else {
            reader.complain(&value.span(), &path, "it must be a table".to_owned());
            return None;
        };
        Some(Section::new(&path, table, value.span()))
    }

    /// The tables in this one, by name: one for each thing that has a name of its own.
    pub(super) fn named(&self, reader: &mut Reader<'_>) -> Vec<(String, Section<'a>)> {
        let mut found = Vec::new();
        for (name, value) in self.table.into_iter().flatten() {
            let path = self.path_of(name.get_ref());
            match value.get_ref().as_table() {
                Some(table) => {
                    let section = Section::new(&path, table, name.span());
                    found.push((name.get_ref().to_string(), section));
                }
                None => {
                    reader.complain(&value.span(), &path, "it must be a table".to_owned());
                }
            }
        }
        found
    }

    /// What `key`'s text means; none where it is absent, or wrong and complained of.
    pub(super) fn parse<T>(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.read(key, reader, |value| {
            let text = value.as_str().map(str::to_owned).or_else(|| number(value));
            let text = text.ok_or("it must be a text")?;
            text.parse().map_err(|error: T::Err| error.to_string())
        })
    }

    /// A time, such as `"250ms"` or `"5m"`.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<Duration> {
        self.read(key, reader, |value| {
            let text = value.as_str().ok_or("it must be a text, such as \"90s\" or \"5m\"")?;
            let meant = humantime::parse_duration(text);
            meant.map_err(|error| format!("{text:?}: {error}; write such as \"90s\" or \"5m\""))
        })
    }

    pub(super) fn flag(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<bool> {
        self.read(key, reader, |value| {
            value.as_bool().ok_or_else(|| "it must be true or false".to_owned())
        })
    }

    /// A whole number within `allowed`.
    pub(super) fn whole(
        &mut self,
        key: &'static str,
        allowed: std::ops::RangeInclusive<u64>,
        reader: &mut Reader<'_>,
    ) -> Option<u64> {
        self.read(key, reader, |value| {
            let (least, most) = (allowed.start(), allowed.end());
            let wrong = || format!("it must be a whole number from {least} to {most}");
            let number = value.as_integer().ok_or_else(wrong)?;
            let number =
                u64::from_str_radix(number.as_str(), number.radix()).map_err(|_| wrong())?;
            if allowed.contains(&number) {
                Ok(number)
            } else {
                Err(format!("{number}: {}", wrong()))
            }
        })
    }

    /// A list of texts.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<Vec<String>> {
        self.read(key, reader, |value| {
            let wrong = || "it must be a list of texts".to_owned();
            let list = value.as_array().ok_or_else(wrong)?;
            let text = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(str::to_owned);
            list.iter().map(text).collect::<Option<_>>().ok_or_else(wrong)
        })
    }

    /// Texts by name.
    pub(super) fn named_texts(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<BTreeMap<String, String>> {
        self.read(key, reader, |value| {
            let wrong = || "it must be a table of texts, such as { NAME = \"value\" }".to_owned();
            let table = value.as_table().ok_or_else(wrong)?;
            let entry = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                Some((name.to_string(), value.get_ref().as_str()?.to_owned()))
            };
            table.iter().map(entry).collect::<Option<_>>().ok_or_else(wrong)
        })
    }

    /// Complains that `key` is missing or wrong for a reason that its text alone does not tell.
    pub(super) fn object(&self, key: &'static str, what: String, reader: &mut Reader<'_>) {
        let value = self.table.and_then(|table| table.get(key));
        let span = value.map_or_else(|| self.span.clone(), Spanned::span);
        reader.complain(&span, &self.path_of(key), what);
    }

    /// Whether `key` is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Complains of every key that nobody asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for name in self.table.into_iter().flat_map(|table| table.keys()) {
            let text: &str = name.get_ref();
            if !self.known.contains(text) {
                let known: Vec<_> = self.known.iter().copied().collect();
                let meant = closest(text, &known)
                    .map_or_else(String::new, |near| format!("; did you mean {near}?"));
                let what = format!("unknown key{meant}; known are {}", known.join(", "));
                reader.complain(&name.span(), &self.path_of(text), what);
            }
        }
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
        meaning: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        match meaning(value.get_ref()) {
            Ok(meant) => Some(meant),
            Err(what) => {
                reader.complain(&value.span(), &self.path_of(key), what);
                None
            }
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.insert(key);
        self.table?.get(key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// The known key that `text` probably means: one that differs in at most two letters.
fn closest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|key| (distance(text, key), *key)).min()?;
    (near.0 <= 2 && near.0 < near.1.len()).then_some(near.1)
}

/// How many letters must be changed, added or taken away (Wagner and Fischer, J. ACM 1974).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let swapped = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = swapped.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A bare number, as it was written: `cpu = 2` means what `cpu = "2"` does.
fn number(value: &DeValue<'_>) -> Option<String> {
    let integer = value.as_integer().map(|integer| integer.as_str().to_owned());
    integer.or_else(|| value.as_float().map(|float| float.as_str().to_owned()))
}

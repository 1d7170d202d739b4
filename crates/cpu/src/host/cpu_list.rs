//! Sets of CPUs as the kernel writes them: `0-3,8,10-11`.

use std::fmt;

/// The most CPUs that the kernel can be built for, and so the most that a list may name.
pub const MOST_CPUS: u32 = 8192;

/// A set of CPU numbers.
///
/// ```
/// use plimsoll_cpu::CpuList;
/// let list: CpuList = "0-2,5".parse()?;
/// assert_eq!(list.len(), 4);
/// assert_eq!(list.iter().collect::<Vec<_>>(), [0, 1, 2, 5]);
/// assert_eq!(list.to_string(), "0-2,5");
/// # Ok::<(), plimsoll_cpu::CpuListError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct CpuList {
    /// Without trailing zeros, so that equal sets compare equal.
    words: Vec<u64>,
}

/// Why a text is no [`CpuList`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CPU list {text:?} is no list of numbers and ranges below {MOST_CPUS}, such as \"0-3,8\"")]
pub struct CpuListError {
    text: String,
}

impl CpuList {
    /// How many CPUs it names.
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// True when it names none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// True when it names `cpu`.
    pub fn contains(&self, cpu: u32) -> bool {
        self.words.get(cpu as usize / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1)
    }

    /// Its CPUs, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.words.len() as u32 * 64).filter(|cpu| self.contains(*cpu))
    }

    /// Adds `cpu`; a number that no kernel has is ignored, and the answer says so.
    pub fn insert(&mut self, cpu: u32) -> bool {
        if cpu >= MOST_CPUS {
            return false;
        }
        let word = cpu as usize / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (cpu % 64);
        true
    }
}

impl FromIterator<u32> for CpuList {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        let mut list = Self::default();
        for cpu in cpus {
            list.insert(cpu);
        }
        list
    }
}

impl std::str::FromStr for CpuList {
    type Err = CpuListError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || CpuListError { text: text.chars().take(64).collect() };
        let mut list = Self::default();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |digits: &str| digits.trim().parse::<u32>().map_err(|_| error());
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= MOST_CPUS {
                return Err(error());
            }
            (first..=last).for_each(|cpu| {
                list.insert(cpu);
            });
        }
        Ok(list)
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            if last == first {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuList({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_kernels_write() {
        let check = |text: &str, count: Option<u32>| {
            assert_eq!(text.parse::<CpuList>().ok().map(|list| list.len()), count, "{text:?}");
        };
        check("0\n", Some(1));
        check("0-63,128-191", Some(128));
        check("", Some(0));
        check("\n", Some(0));
        check("3-1", None);
        check("a", None);
        check("0-9999999", None);
        check("-1", None);
    }

    proptest! {
        #[test]
        fn round_trips(cpus in prop::collection::btree_set(0_u32..MOST_CPUS, 0..64)) {
            let list: CpuList = cpus.iter().copied().collect();
            prop_assert_eq!(list.len() as usize, cpus.len());
            prop_assert_eq!(list.to_string().parse::<CpuList>().unwrap(), list);
        }
    }
}

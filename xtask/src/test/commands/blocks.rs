//! The blocks of code in a Markdown file, and what their fences say of them.

/// One fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The line of the fence that opens it, from 1.
    pub(super) line: usize,
    /// The first word after the fence.
    pub(super) language: String,
    /// The words after the language.
    pub(super) marks: Vec<String>,
    /// What stands between the fences.
    pub(super) text: String,
}

/// What is to be done with a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing: it is no command.
    Shown,
    /// Run it, once this program is there, with a broker where `serve` is true.
    Run { with: &'static str, serve: bool, needs: Option<String> },
    /// It stands in this file, word for word.
    Excerpt(String),
    /// Not here, for this reason.
    Skip(&'static str),
}

/// The fenced blocks of `text`, in order.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(info), None) => {
                let mut words = info.split_whitespace().map(str::to_owned);
                let language = words.next().unwrap_or_default();
                let marks = words.collect();
                open = Some(Block { line: index + 1, language, marks, text: String::new() });
            }
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

impl Block {
    /// What is to be done with it; `all` takes those in that run for minutes.
    pub(super) fn wanted(&self, all: bool) -> Use {
        let marked = |mark: &str| self.marks.iter().any(|own| own == mark);
        let value = |key: &str| {
            let of_key = |mark: &String| Some(mark.strip_prefix(key)?.to_owned());
            self.marks.iter().find_map(of_key)
        };
        let with = match self.language.as_str() {
            "sh" => "bash",
            "python" => "python3",
            "rust" => return value("from=").map_or(Use::Shown, Use::Excerpt),
            _ => return Use::Shown,
        };
        if marked("host") {
            return Use::Skip("it changes the host");
        }
        if marked("traces") && std::env::var_os("PLIMSOLL_TRACES").is_none() {
            return Use::Skip("PLIMSOLL_TRACES does not say where recorded traces are");
        }
        if marked("long") && !all {
            return Use::Skip("it runs for minutes: --all");
        }
        Use::Run { with, serve: marked("serve"), needs: value("needs=") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Some words.

```sh serve needs=curl
curl x
```

```text
what it prints
```

- in a list

  ```sh long
  sleep 100
  ```

```rust from=crates/pool/examples/ledger.rs
let a = 1;
```
";

    #[test]
    fn a_fence_says_what_is_done_with_its_block() {
        let found = blocks(TEXT);
        let lines: Vec<_> = found.iter().map(|block| block.line).collect();
        assert_eq!(lines, [3, 7, 13, 17]);
        assert_eq!(found[0].text, "curl x\n");
        let needs = Some("curl".to_owned());
        assert_eq!(found[0].wanted(false), Use::Run { with: "bash", serve: true, needs });
        assert_eq!(found[1].wanted(false), Use::Shown);
        assert_eq!(found[2].wanted(false), Use::Skip("it runs for minutes: --all"));
        assert!(matches!(found[2].wanted(true), Use::Run { serve: false, needs: None, .. }));
        let file = "crates/pool/examples/ledger.rs".to_owned();
        assert_eq!(found[3].wanted(false), Use::Excerpt(file));
    }
}

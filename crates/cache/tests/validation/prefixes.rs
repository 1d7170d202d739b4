//! Prefix blocks of recorded conversations, beside plain LRU on blocks.

use std::collections::HashSet;

use plimsoll_cache::policy::{PrefixBlocks, model};
use plimsoll_core_types::{Better, CachePolicy, Row};
use plimsoll_testkit::{report, trace};

/// The blocks of each request, in order.
fn requests(test: &str) -> Option<Vec<Vec<u64>>> {
    let path = trace(test, "cache/mooncake_conversation.jsonl.zst")?;
    let bytes = zstd::decode_all(std::fs::File::open(path).ok()?).ok()?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let blocks = |line: &[u8]| -> Option<Vec<u64>> {
        let request: serde_json::Value = serde_json::from_slice(line).ok()?;
        request["hash_ids"].as_array()?.iter().map(serde_json::Value::as_u64).collect()
    };
    lines.map(blocks).collect()
}

/// Which share of all blocks was there with everything before it.
fn share(requests: &[Vec<u64>], mut usable: impl FnMut(&[u64]) -> usize) -> f64 {
    let all: usize = requests.iter().map(Vec::len).sum();
    requests.iter().map(|request| usable(request)).sum::<usize>() as f64 / all as f64
}

fn plain_lru(requests: &[Vec<u64>], capacity: u64) -> f64 {
    let mut lru = model(CachePolicy::Lru, capacity).unwrap();
    share(requests, |request| {
        let usable = request.iter().take_while(|block| lru.contains(**block)).count();
        for block in request {
            lru.access(*block, 1);
        }
        usable
    })
}

#[test]
fn prefixes_kept_whole_are_worth_more_than_blocks_by_last_use() {
    let Some(requests) = requests("prefix_blocks") else { return };
    let unique: HashSet<u64> = requests.iter().flatten().copied().collect();
    for percent in [1, 5, 10, 30] {
        let capacity = unique.len() as u64 * percent / 100;
        let plain = plain_lru(&requests, capacity);
        let mut blocks = PrefixBlocks::new(capacity);
        let own = share(&requests, |request| blocks.request(request));
        let mut segments = PrefixBlocks::with_share(capacity, 0.8);
        let segments = share(&requests, |request| segments.request(request));
        let row = Row::new("cache.prefix_hit_ratio", own, "ratio", Better::Higher);
        let row = row.label("capacity", &format!("{percent}%"));
        report(&row.peer("lru", plain).peer("two-segments", segments));
        assert!(own > plain, "{percent}%: {own:.4} tail first, {plain:.4} head first");
    }
}

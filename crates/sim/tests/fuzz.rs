//! Trace files with mistakes in them.

use std::time::Duration;

use plimsoll_sim::trace::Trace;
use plimsoll_testkit::{Garble, scale, seed};

const TRACES: [&str; 6] = [
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n2023-11-16 18:17:05.1,110,27\n",
    "timestamp_ms,input_tokens,output_tokens\n0,6758,500\n3000,7322,490\n6000,7237,794\n",
    "{\"timestamp\": 0, \"input_length\": 6755, \"output_length\": 500, \"hash_ids\": [0, 1, 2]}\n{\"timestamp\": 27, \"input_length\": 7319, \"output_length\": 490, \"hash_ids\": [0, 14]}\n",
    "client,t_s,rate_rps,cv,dist,p1,p2\n0,0,0.5,1.2,Gamma,0.7,2.9\n0,600,0.25,1,Exponential,0,0\n1,0,0.1,2,Weibull,0.6,4\n1,600,0,0,,0,0\n",
    "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,0,4,2\no,a,g,queue,1,0,0\n",
    "app,func,end_timestamp,duration\na,f,79.6,0.5\na,g,80.1,0.25\n",
];

/// Understood, it has a span and times in order; else it says why.
fn check(bytes: &[u8]) -> bool {
    match Trace::parse(bytes) {
        Ok(trace) => {
            assert!(trace.span() < Duration::MAX);
            if let Some(requests) = trace.requests() {
                assert!(requests.windows(2).all(|pair| pair[0].at <= pair[1].at));
            }
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

#[test]
fn each_sample_is_right_as_it_stands() {
    for text in TRACES {
        assert!(check(text.as_bytes()), "{text}: {:?}", Trace::parse(text.as_bytes()));
    }
}

#[test]
fn traces_are_understood_or_refused() {
    let mut garble = Garble::new(seed("sim.traces", 21));
    let mut understood = 0;
    let rounds = scale(30_000);
    for round in 0..rounds {
        let text = garble.bytes(TRACES[round % TRACES.len()].as_bytes());
        understood += usize::from(check(&text));
    }
    // Mistakes that all are refused at the first byte would look at nothing.
    assert!(understood > rounds / 50 && understood < rounds, "{understood} of {rounds}");
}

#[test]
fn packed_traces_are_unpacked_or_refused() {
    // Headers of gzip and zstd, and what follows them in a whole file of each.
    let gzip = include_bytes!("data/lengths.csv.gz");
    let zstd = include_bytes!("data/lengths.csv.zst");
    assert!(check(gzip) && check(zstd));
    let mut garble = Garble::new(seed("sim.packed", 22));
    for _ in 0..scale(5_000) {
        check(&garble.bytes(gzip));
        check(&garble.bytes(zstd));
    }
}

//! Traces: each known format from the real file, damaged input, and made-up traces beside real ones.

use std::time::Duration;

use plimsoll_core_types::Timestamp;
use plimsoll_sim::generate::{Character, Drawn, Recipe, arrivals};
use plimsoll_sim::trace::{Content, Format, Trace, TraceError};
use plimsoll_testkit::trace as file;
use proptest::prelude::*;

fn open(relative: &str) -> Option<Trace> {
    file("sim traces", relative).map(|path| Trace::open(&path).unwrap())
}

#[test]
fn every_shared_trace_is_told_by_what_it_holds() {
    let check = |relative: &str, format: Format, clients: usize, records: usize| {
        let Some(trace) = open(relative) else { return };
        assert_eq!(trace.format, format, "{relative}");
        assert_eq!(trace.clients.len(), clients, "{relative}");
        let found = match &trace.content {
            Content::Requests(requests) => {
                assert!(requests.is_sorted_by_key(|request| request.at));
                assert_eq!(requests[0].at, Timestamp::ZERO);
                requests.len()
            }
            Content::Rates { clients, .. } => clients.iter().map(Vec::len).sum(),
        };
        assert_eq!(found, records, "{relative}");
    };
    check("serving/azure_llm_2023_code.csv.gz", Format::AzureLlm, 1, 8819);
    check("serving/mooncake_conversation_lengths.csv.gz", Format::MooncakeLengths, 1, 12_031);
    check("cache/mooncake_conversation.jsonl.zst", Format::MooncakeJson, 1, 12_031);
    check("serving/servegen_deepseek-r1_client_rates.csv.gz", Format::ServeGenRates, 73, 10_512);
    check("serving/invitro_invocations.csv.gz", Format::FunctionCounts, 4, 4 * 1440);
    check("serving/invitro_Azure2021_200.csv.gz", Format::FunctionInvocations, 31, 199);
}

#[test]
fn the_two_forms_of_mooncake_say_the_same() {
    let csv = open("serving/mooncake_conversation_lengths.csv.gz");
    let json = open("cache/mooncake_conversation.jsonl.zst");
    if let (Some(csv), Some(json)) = (csv, json) {
        assert_eq!(csv.content, json.content);
    }
}

#[test]
fn what_is_wrong_is_named_with_line_and_field() {
    let check = |text: &str, expected: &str| {
        let error = Trace::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let mooncake = "timestamp_ms,input_tokens,output_tokens\n";
    check("", "the trace has no lines");
    check(mooncake, "the trace has a header and no records");
    check(
        &format!("{mooncake}1,2,3\n\n4,5\n"),
        "line 4: output_tokens is missing: the line has 2 fields",
    );
    check(
        &format!("{mooncake}-1,2,3\n"),
        "line 2: timestamp_ms is \"-1\"; it must be a time between 0 and 100 years",
    );
    check(
        "TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2\n",
        "line 2: TIMESTAMP is \"yesterday\"; it must be a date as 2023-11-16 18:17:03.9799600, \
         between 1970 and 2500",
    );
    check(
        "client,t_s,rate_rps,cv,dist,p1,p2\n0,0,1,1,Pareto,1,1\n",
        "line 2: dist is \"Pareto\"; it must be Gamma, Weibull, Exponential, or empty",
    );
    check(
        "client,t_s,rate_rps,cv,dist,p1,p2\n0,0,NaN,1,,1,1\n",
        "line 2: rate_rps is \"NaN\"; it must be a finite number of zero or more",
    );
    check(
        "HashOwner,HashApp,HashFunction,Trigger,1,2\na,b,c,http,3,x\n",
        "line 2: 2 is \"x\"; it must be a whole number up to 4294967295",
    );
    let json = Trace::parse(b"{\"timestamp\":0,\"input_length\":1,\"output_length\":1}\n{\"a\":1}");
    assert!(json.unwrap_err().to_string().starts_with("line 2: missing field"));
    assert!(matches!(Trace::parse(b"name,age\nx,3\n"), Err(TraceError::Unknown { .. })));
    assert!(matches!(Trace::parse(b"\xff\xfe\n"), Err(TraceError::NoText { line: 1 })));
}

#[test]
fn made_up_traces_have_the_character_of_real_ones() {
    let check = |name: &str, recipe: Recipe| {
        let Some(real) = open(name) else { return };
        let real = Character::of(real.requests().unwrap()).unwrap();
        let mut apart = [0.0; 8];
        for seed in 0..9 {
            let made = recipe.requests(Duration::from_mins(58), seed);
            let made = Character::of(made.requests().unwrap()).unwrap();
            let pairs = [
                (made.rate, real.rate),
                (made.peak, real.peak),
                (made.dispersion, real.dispersion),
                (made.straying, real.straying),
                (made.silent + 0.3, real.silent + 0.3),
                (made.growth, real.growth),
                (made.input, real.input),
                (made.output, real.output),
            ];
            for (sum, (made, real)) in apart.iter_mut().zip(pairs) {
                *sum += (made / real).ln() / 9.0;
            }
        }
        // In the mean over seeds, within a third of what is real, up or down.
        let names =
            ["rate", "peak", "dispersion", "straying", "silent", "growth", "input", "output"];
        // Where requests come in bursts, which minutes or which half have more of them is chance.
        let chance = |what: &str| matches!(what, "growth" | "straying");
        let checked = |what: &str| !chance(what) || real.dispersion < 5.0;
        for (what, apart) in names.iter().zip(apart).filter(|(what, _)| checked(what)) {
            assert!(apart.abs() < 0.3, "{name}: {what} is off by {apart:.2}; real {real:?}");
        }
    };
    check("serving/mooncake_conversation_lengths.csv.gz", Recipe::conversation());
    check("serving/azure_llm_2023_code.csv.gz", Recipe::code());
}

#[test]
fn requests_drawn_from_rates_keep_them() {
    let rates = Recipe::service().rates(Duration::from_hours(6), Duration::from_mins(10), 3);
    let Content::Rates { window, clients } = &rates.content else { unreachable!() };
    let expected: f64 = clients[0].iter().map(|w| w.rate * window.as_secs_f64()).sum();
    let drawn = arrivals(&rates, &Drawn::default());
    let requests = drawn.requests().unwrap();
    let off = requests.len() as f64 / expected - 1.0;
    assert!(off.abs() < 0.05, "{} requests for {expected}", requests.len());
    assert!(requests.is_sorted_by_key(|request| request.at));
    assert_eq!(drawn, arrivals(&rates, &Drawn::default()));
    let few = arrivals(&rates, &Drawn { most: 100, ..Drawn::default() });
    assert_eq!(few.requests().unwrap(), &requests[..100]);
}

const GOOD: [&str; 6] = [
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,4808,10\n",
    "timestamp_ms,input_tokens,output_tokens\n0,6758,500\n30,1,2\n",
    "{\"timestamp\": 5, \"input_length\": 6758, \"output_length\": 500}\n",
    "client,t_s,rate_rps,cv,dist,p1,p2\n0,0,1.5,2,Gamma,0.3,2\n0,600,0,0,,0,0\n",
    "HashOwner,HashApp,HashFunction,Trigger,1,2\na,b,c,http,3,0\n",
    "app,func,end_timestamp,duration\na,b,1.5,0.5\n",
];

proptest! {
    /// Whatever bytes come, there is an answer, and never a panic.
    #[test]
    fn any_bytes_are_a_trace_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Trace::parse(&bytes);
    }

    /// A good file with something put in, taken out or cut is a trace or an error, and what is
    /// read makes sense.
    #[test]
    fn a_damaged_file_is_a_trace_or_an_error(
        which in 0..GOOD.len(),
        place in any::<prop::sample::Index>(),
        what in "[-0-9a-zA-Z.,\"{}:\n ]{0,12}",
        cut in 0..6_usize,
    ) {
        let mut bytes = GOOD[which].as_bytes().to_vec();
        let place = place.index(bytes.len());
        let until = (place + cut).min(bytes.len());
        bytes.splice(place..until, what.bytes());
        match Trace::parse(&bytes) {
            Ok(trace) => {
                prop_assert!(!trace.clients.is_empty());
                if let Content::Requests(requests) = &trace.content {
                    prop_assert!(requests.is_sorted_by_key(|request| request.at));
                    let known = |r: &plimsoll_sim::trace::TraceRequest| (r.client as usize) < trace.clients.len();
                    prop_assert!(requests.iter().all(known));
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// The magic bytes of gzip and zstd with rubbish behind them are an error.
    #[test]
    fn packed_rubbish_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100), zstd: bool) {
        let magic: &[u8] = if zstd { &[0x28, 0xb5, 0x2f, 0xfd] } else { &[0x1f, 0x8b] };
        prop_assert!(Trace::parse(&[magic, &bytes].concat()).is_err());
    }
}

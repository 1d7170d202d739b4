//! Which models stay loaded: what reloading costs under each rule, on the same requests.

use std::collections::HashMap;
use std::time::Duration;

use plimsoll_cache::residency::{Candidate, ResidencyConfig, choose_victims};
use plimsoll_core_types::{Better, Bytes, GiveUp, ModelId, Ratio, ResourceVector, Row};
use plimsoll_testkit::{report, scale, seed};

const MODELS: usize = 24;
const MIB: u64 = 96 * 1024;
/// How long a use counts, in seconds.
const MEMORY: f64 = 900.0;

struct Model {
    mib: u64,
    reload: f64,
}

/// A model's state, as whoever decides knows it.
#[derive(Clone, Copy)]
struct State {
    since: f64,
    last: f64,
    /// Uses of late, fading.
    uses: f64,
    /// Greedy-dual's value.
    value: f64,
    /// When it is asked for next; only the clairvoyant looks.
    next: f64,
}

fn draw(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Half a gibibyte to forty, loaded at 1.5 GiB a second after two seconds; the largest are not the
/// ones most asked for.
fn models(random: &mut u64) -> Vec<Model> {
    let model = |_| {
        let mib = (512.0 * 80_f64.powf(draw(random))) as u64;
        Model { mib, reload: 2.0 + mib as f64 / 1536.0 }
    };
    (0..MODELS).map(model).collect()
}

/// When and which: Zipf's law over the models, whose ranks turn a little every hour, in sessions of
/// several requests.
fn requests(random: &mut u64, count: usize) -> Vec<(f64, usize)> {
    let weights: Vec<f64> = (1..=MODELS).map(|rank| 1.0 / rank as f64).collect();
    let all: f64 = weights.iter().sum();
    let mut now = 0.0;
    let mut requests = Vec::with_capacity(count);
    while requests.len() < count {
        now += -draw(random).max(1e-12).ln() * 40.0;
        let mut left = draw(random) * all;
        let rank = weights.iter().position(|weight| {
            left -= weight;
            left <= 0.0
        });
        let model = (rank.unwrap_or(0) + (now / 3600.0) as usize) % MODELS;
        let length = 1 + (draw(random) * 4.0) as usize;
        requests.extend((0..length).map(|at| (now + at as f64 * 15.0, model)));
    }
    requests.sort_by(|a, b| a.0.total_cmp(&b.0));
    requests
}

/// Says whom to give up, one at a time; the state it is told is of those that are resident.
type Rule = dyn Fn(&[Model], &HashMap<usize, State>, f64, u64) -> Vec<usize>;

/// Seconds spent reloading, and reloads of what was given up less than a minute before.
fn replay(models: &[Model], requests: &[(f64, usize)], rule: &Rule) -> (f64, usize) {
    let mut next = vec![f64::INFINITY; requests.len()];
    let mut later: HashMap<usize, f64> = HashMap::new();
    for (at, (time, model)) in requests.iter().enumerate().rev() {
        next[at] = later.insert(*model, *time).unwrap_or(f64::INFINITY);
    }
    let mut resident: HashMap<usize, State> = HashMap::new();
    let mut known: HashMap<usize, (f64, f64)> = HashMap::new();
    let mut left: HashMap<usize, f64> = HashMap::new();
    let (mut seconds, mut thrashed, mut floor) = (0.0, 0, 0.0);
    for (at, (now, model)) in requests.iter().enumerate() {
        let (last, uses) = known.get(model).copied().unwrap_or((*now, 0.0));
        let uses = uses * (-(now - last) / MEMORY).exp() + 1.0;
        known.insert(*model, (*now, uses));
        if !resident.contains_key(model) {
            seconds += models[*model].reload;
            thrashed += usize::from(left.get(model).is_some_and(|gone| now - gone < 60.0));
            let used: u64 = resident.keys().map(|model| models[*model].mib).sum();
            let lacking = (used + models[*model].mib).saturating_sub(MIB);
            if lacking > 0 {
                for victim in rule(models, &resident, *now, lacking) {
                    if let Some(gone) = resident.remove(&victim) {
                        floor = f64::max(floor, gone.value);
                        left.insert(victim, *now);
                    }
                }
            }
        }
        let Model { mib, reload } = models[*model];
        let since = resident.get(model).map_or(*now, |state| state.since);
        let value = floor + uses * reload / mib as f64;
        let state = State { since, last: *now, uses, value, next: next[at] };
        resident.insert(*model, state);
        let used: u64 = resident.keys().map(|model| models[*model].mib).sum();
        assert!(used <= MIB, "{used} MiB of {MIB}");
    }
    (seconds, thrashed)
}

/// Those with the least of `value` first, until they free enough.
fn least_first(value: impl Fn(&Model, &State, f64) -> f64 + 'static) -> Box<Rule> {
    Box::new(move |models, resident, now, lacking| {
        let mut order: Vec<usize> = resident.keys().copied().collect();
        let worth = |model: &usize| value(&models[*model], &resident[model], now);
        order.sort_by(|a, b| worth(a).total_cmp(&worth(b)).then(a.cmp(b)));
        let mut freed = 0;
        order.retain(|model| {
            let needed = freed < lacking;
            freed += if needed { models[*model].mib } else { 0 };
            needed
        });
        order
    })
}

/// One in, one out by last use, with as many models as fit whichever they are: what a server does
/// that counts models.
fn by_count(models: &[Model]) -> Box<Rule> {
    let mut sizes: Vec<u64> = models.iter().map(|model| model.mib).collect();
    sizes.sort_unstable_by_key(|mib| std::cmp::Reverse(*mib));
    let mut sum = 0;
    let most = sizes.iter().take_while(|mib| {
        sum += **mib;
        sum <= MIB
    });
    let most = most.count();
    let lru = least_first(|_, state, _| state.last);
    Box::new(move |models, resident, now, lacking| {
        let over = (resident.len() + 1).saturating_sub(most);
        let mut victims = lru(models, resident, now, u64::MAX);
        let enough = lru(models, resident, now, lacking).len();
        victims.truncate(over.max(enough));
        victims
    })
}

fn by_value(
    models: &[Model],
    resident: &HashMap<usize, State>,
    now: f64,
    lacking: u64,
    config: &ResidencyConfig,
) -> Vec<usize> {
    let candidate = |(model, state): (&usize, &State)| {
        let bytes = Bytes::from_mib(models[*model].mib);
        let rate = state.uses * (-(now - state.last) / MEMORY).exp() / MEMORY;
        let give_up = GiveUp {
            bytes,
            cost: Duration::ZERO,
            need: Ratio::saturating(1.0 - (-rate * 60.0).exp()),
            return_cost: Duration::from_secs_f64(models[*model].reload),
        };
        Candidate {
            model: ModelId::new(&format!("m{model}")).unwrap(),
            give_up,
            amount: ResourceVector::new().with_memory(bytes),
            pinned: false,
            busy: false,
            resident_for: Duration::from_secs_f64(now - state.since),
            idle_for: Duration::from_secs_f64(now - state.last),
        }
    };
    let candidates: Vec<Candidate> = resident.iter().map(candidate).collect();
    let needed = ResourceVector::new().with_memory(Bytes::from_mib(lacking));
    // Here nobody can wait: who finds too little goes without the minimum of residence.
    let victims = [*config, ResidencyConfig::AT_ONCE]
        .iter()
        .find_map(|config| choose_victims(&candidates, &needed, config));
    let number = |model: ModelId| model.as_str()[1..].parse().unwrap();
    victims.unwrap().into_iter().map(number).collect()
}

#[test]
fn models_that_cost_most_to_miss_stay_and_none_goes_back_and_forth() {
    let seed = seed("residency", 11);
    let break_even = ResidencyConfig::default();
    let only_minimum = ResidencyConfig { break_even: Ratio::ZERO, ..break_even };
    let mut sums = [(0.0, 0); 6];
    for round in 0..scale(8).min(64) as u64 {
        let mut random = seed + round;
        let models = models(&mut random);
        let requests = requests(&mut random, 4000);
        let by = |config: ResidencyConfig| -> Box<Rule> {
            Box::new(move |models, resident, now, lacking| {
                by_value(models, resident, now, lacking, &config)
            })
        };
        let rules = [
            by(break_even),
            by(only_minimum),
            least_first(|_, state, _| state.last),
            by_count(&models),
            least_first(|_, state, _| state.value),
            least_first(|model, state, now| model.reload / (model.mib as f64 * (state.next - now))),
        ];
        for (sum, rule) in sums.iter_mut().zip(&rules) {
            let (seconds, thrashed) = replay(&models, &requests, &**rule);
            *sum = (sum.0 + seconds, sum.1 + thrashed);
        }
    }
    let [own, only_minimum, lru, count, greedy_dual, clairvoyant] = sums;
    let row = |name, unit, of: &dyn Fn((f64, usize)) -> f64| {
        let row = Row::new(name, of(own), unit, Better::Lower)
            .peer("without-break-even", of(only_minimum))
            .peer("lru-by-bytes", of(lru))
            .peer("lru-by-count", of(count))
            .peer("gdsf", of(greedy_dual));
        report(&row.peer("belady-like", of(clairvoyant)));
    };
    row("cache.residency_reload", "s", &|sum| sum.0);
    row("cache.residency_thrash", "reloads", &|sum| sum.1 as f64);
    let requests = scale(8).min(64) * 4000;
    assert!(own.1 * 50 <= requests, "{} reloads within a minute", own.1);
    for (peer, name) in [(lru, "by bytes"), (count, "by count"), (greedy_dual, "greedy-dual")] {
        assert!(own.0 < peer.0, "{:.0} s of loading; {name} {:.0}", own.0, peer.0);
        assert!(own.1 <= peer.1, "{} reloads within a minute; {name} {}", own.1, peer.1);
    }
    assert!(own.0 < only_minimum.0 && own.1 < only_minimum.1, "{own:?} against {only_minimum:?}");
}

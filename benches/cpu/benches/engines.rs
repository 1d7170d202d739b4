//! Real processes and real CPU time: two engines on this host with and without a thread plan, and
//! shares of classes beside a greedy one.
//!
//! The engine is this program itself, started again: a team of threads that works off tokens layer
//! by layer and spins at a barrier after each, as inference engines on CPUs do.

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_bench::{Better, Contender, OWN, Row, contest, emit, goal, size, wanted};
use plimsoll_core_types::{
    Clock, ConsumerId, CpuManager as _, Millicores, Priority, SystemClock, Task, TaskClass, TaskId,
    TenantId, Timestamp,
};
use plimsoll_cpu::account::{AccountConfig, Accountant, CpuClock as _, ThreadCpuClock};
use plimsoll_cpu::process::ProcessCpu;
use plimsoll_cpu::throttle::{Throttle, ThrottleConfig};
use plimsoll_cpu::{CpuConfig, CpuService, HostCpu, apply};

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("--engine") {
        let threads = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
        engine::serve(threads);
        return;
    }
    if wanted("cpu.thread_plan_speedup") {
        thread_plan_speedup();
    }
    if wanted("cpu.share_error") {
        share_error();
    }
}

/// The engine's side.
mod engine {
    use super::*;

    /// Barriers of one token.
    const LAYERS: usize = 24;
    /// Multiplications of one layer.
    const WORK: usize = 400_000;

    struct Shared {
        /// Rises by one for each layer; the team waits for it.
        layer: AtomicUsize,
        done: AtomicUsize,
        is_over: AtomicBool,
    }

    /// Serves tokens until its input ends; a line `threads N` changes the team.
    pub(super) fn serve(threads: u32) {
        let wanted = Arc::new(AtomicU32::new(threads.max(1)));
        let commands = Arc::clone(&wanted);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                let number = line.strip_prefix("threads ").and_then(|text| text.parse().ok());
                commands.store(number.unwrap_or(1_u32).max(1), Ordering::Relaxed);
            }
            commands.store(0, Ordering::Relaxed);
        });
        let mut tokens = 0_u64;
        loop {
            let threads = wanted.load(Ordering::Relaxed);
            if threads == 0 {
                return;
            }
            let team = Team::new(threads);
            while wanted.load(Ordering::Relaxed) == threads {
                team.token();
                tokens += 1;
                let told = writeln!(std::io::stdout().lock(), "{tokens} {threads}");
                if told.is_err() {
                    return;
                }
            }
        }
    }

    struct Team {
        shared: Arc<Shared>,
        threads: u32,
        workers: Vec<JoinHandle<()>>,
    }

    impl Team {
        fn new(threads: u32) -> Self {
            let shared = Arc::new(Shared {
                layer: AtomicUsize::new(0),
                done: AtomicUsize::new(0),
                is_over: AtomicBool::new(false),
            });
            let workers = (1..threads).map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || work(&shared, threads))
            });
            let workers = workers.collect();
            Self { shared, threads, workers }
        }

        fn token(&self) {
            let shared = &*self.shared;
            for _ in 0..LAYERS {
                shared.done.store(0, Ordering::Relaxed);
                shared.layer.fetch_add(1, Ordering::Release);
                compute(self.threads);
                while shared.done.load(Ordering::Acquire) < self.workers.len() {
                    std::hint::spin_loop();
                }
            }
        }
    }

    impl Drop for Team {
        fn drop(&mut self) {
            self.shared.is_over.store(true, Ordering::Relaxed);
            self.shared.layer.fetch_add(1, Ordering::Release);
            for worker in self.workers.drain(..) {
                let _ = worker.join();
            }
        }
    }

    fn work(shared: &Shared, threads: u32) {
        let mut seen = 0;
        loop {
            while shared.layer.load(Ordering::Acquire) == seen {
                std::hint::spin_loop();
            }
            seen += 1;
            if shared.is_over.load(Ordering::Relaxed) {
                return;
            }
            compute(threads);
            shared.done.fetch_add(1, Ordering::Release);
        }
    }

    /// One thread's part of a layer.
    fn compute(threads: u32) {
        let mut sums = [1.0_f32; 8];
        for step in 0..WORK / 8 / threads as usize {
            for sum in &mut sums {
                *sum = *sum * 0.999 + black_box(step as f32);
            }
        }
        black_box(sums);
    }
}

/// An engine, seen from here.
struct Engine {
    child: Child,
    commands: ChildStdin,
    tokens: Arc<AtomicU64>,
    threads: Arc<AtomicU32>,
    usage: ProcessCpu,
    told: (u64, Duration, Duration),
}

impl Engine {
    fn start(threads: u32) -> Self {
        let program = std::env::current_exe().expect("a program has a path");
        let mut child = Command::new(program)
            .args(["--engine", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let commands = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (tokens, now) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU32::new(threads)));
        let (count, current) = (Arc::clone(&tokens), Arc::clone(&now));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Some((done, threads)) = line.split_once(' ') else { return };
                count.store(done.parse().unwrap_or(0), Ordering::Relaxed);
                current.store(threads.parse().unwrap_or(1), Ordering::Relaxed);
            }
        });
        let usage = ProcessCpu::open(child.id()).expect("a child that runs");
        Self { child, commands, tokens, threads: now, usage, told: Default::default() }
    }

    /// What it has used and done since this was last asked.
    fn report(&mut self, name: &str, now: Timestamp) -> Task {
        let usage = self.usage.sample(now).expect("a child that runs");
        let tokens = self.tokens.load(Ordering::Relaxed);
        let (before, cpu, waited) = self.told;
        self.told = (tokens, usage.cpu, usage.waited);
        Task {
            id: TaskId::new(u64::from(self.child.id())),
            consumer: ConsumerId::new(name).expect("a name"),
            class: class(name, Priority::Normal),
            worker: None,
            at: now,
            cpu: usage.cpu.saturating_sub(cpu),
            waited: usage.waited.saturating_sub(waited),
            work: tokens - before,
            threads: self.threads.load(Ordering::Relaxed),
        }
    }

    fn set_threads(&mut self, threads: u32) {
        if self.threads.load(Ordering::Relaxed) != threads {
            writeln!(self.commands, "threads {threads}").expect("a child that listens");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn class(name: &str, priority: Priority) -> TaskClass {
    TaskClass { model: None, tenant: TenantId::new(name).expect("a name"), priority }
}

fn pause(millis: u64) {
    std::thread::park_timeout(Duration::from_millis(millis));
}

/// Tokens per second of two engines that were started with a thread for each core, as engines do.
fn tokens_per_second(host: &Arc<HostCpu>, is_planned: bool) -> f64 {
    let clock = Arc::new(SystemClock::new());
    let cores = host.effective(clock.now()).affinity.get().div_ceil(1000) as u32;
    let mut engines = [("one", Engine::start(cores)), ("two", Engine::start(cores))];
    let service = CpuService::new(Arc::clone(host), clock.clone(), CpuConfig::default());
    let run = |engines: &mut [(&str, Engine); 2], millis: u64| {
        let until = clock.now() + Duration::from_millis(millis);
        while clock.now() < until {
            pause(100);
            if is_planned {
                follow_plan(&service, engines, clock.now());
            }
        }
    };
    run(&mut engines, size(1500, 300));
    let sum = |engines: &[(&str, Engine); 2]| -> u64 {
        engines.iter().map(|(_, engine)| engine.tokens.load(Ordering::Relaxed)).sum()
    };
    let (before, start) = (sum(&engines), clock.now());
    run(&mut engines, size(3000, 300));
    let elapsed = clock.now().saturating_since(start).as_secs_f64();
    (sum(&engines) - before) as f64 / elapsed
}

fn follow_plan(service: &CpuService, engines: &mut [(&str, Engine); 2], now: Timestamp) {
    for (name, engine) in engines.iter_mut() {
        service.track_usage(&engine.report(name, now));
    }
    let plan = service.optimize_threads();
    let cpus = apply::affinity(std::process::id()).expect("this process runs");
    let places = apply::place(&plan, &cpus);
    for assignment in &plan.assignments {
        let own = engines.iter_mut().find(|(name, _)| *name == assignment.consumer.as_str());
        let Some((_, engine)) = own else { continue };
        engine.set_threads(assignment.threads);
        if let Some(cpus) = places.get(&assignment.consumer) {
            // One that ended would fail its next report.
            let _ = apply::set_affinity(engine.child.id(), cpus);
        }
    }
}

fn thread_plan_speedup() {
    let host = Arc::new(HostCpu::system());
    let mut contenders: [Contender<'_>; 2] = [
        (OWN, Box::new(|| tokens_per_second(&host, true))),
        ("unplanned", Box::new(|| tokens_per_second(&host, false))),
    ];
    let mut figures = contest(size(5, 1), &mut contenders);
    let [planned, unplanned] = [0, 1].map(|index: usize| median(&mut figures[index]));
    if planned <= 0.0 || unplanned <= 0.0 {
        // Not one token in a short run on a busy machine: no figure.
        return;
    }
    let ratio = planned / unplanned;
    let mut row = Row::new("cpu.thread_plan_speedup", ratio, "times", Better::Higher);
    row.peers.insert("unplanned".to_owned(), 1.0);
    emit(&row);
    for (threads, value) in [("planned", planned), ("unplanned", unplanned)] {
        let mut row = Row::new("cpu.two_engines", value, "tokens/s", Better::Higher);
        row.labels.insert("threads".to_owned(), threads.to_owned());
        emit(&row);
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Weights, and how many tasks ask for as much as they get.
const CLASSES: [(&str, f64, usize); 3] =
    [("greedy", 1.0, 64), ("chats", 6.0, 4), ("batch", 3.0, 2)];

fn share_error() {
    goal("cpu.share_error", 5.0);
    let (free, available) = worst_share(size(2000, 100), None);
    // Half of what this process gets just now: a budget that the host has is the promise.
    let rate = Millicores::from_f64((available * 500.0).clamp(50.0, 1000.0));
    let (throttled, _) = worst_share(size(10_000, 100), Some(rate));
    let mut row = Row::new("cpu.share_error", throttled, "%", Better::Lower);
    row.peers.insert("unthrottled".to_owned(), free);
    emit(&row);
}

/// By how many percent the worst class misses its share of `millis` of CPU time in all, measured by
/// the tasks themselves at every poll; and how many cores they had.
fn worst_share(millis: u64, rate: Option<Millicores>) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let clock = Arc::new(SystemClock::new());
    let config = ThrottleConfig { rate: rate.unwrap_or_default(), ..ThrottleConfig::default() };
    let throttle = Throttle::new(&config, clock.clone()).expect("within bounds");
    let accountant = Accountant::new(&AccountConfig::default());
    let mut used = Vec::new();
    for (name, weight, tasks) in CLASSES {
        let meter = accountant.meter(&class(name, Priority::Normal));
        let class = throttle.class(weight, meter).expect("there is room");
        let sum = Arc::new(AtomicU64::new(0));
        for _ in 0..tasks {
            let work = busy(Arc::clone(&sum));
            if rate.is_some() {
                runtime.spawn(class.throttle(work));
            } else {
                runtime.spawn(work);
            }
        }
        used.push(sum);
    }
    let read = || -> Vec<f64> {
        used.iter().map(|sum| sum.load(Ordering::Relaxed) as f64 / 1e6).collect()
    };
    while read().iter().sum::<f64>() < millis as f64 && clock.now().as_secs_f64() < 90.0 {
        pause(5);
    }
    let (used, elapsed) = (read(), clock.now().as_secs_f64());
    runtime.shutdown_background();
    let (sum, weights): (f64, f64) = (used.iter().sum(), CLASSES.iter().map(|class| class.1).sum());
    let errors = used
        .iter()
        .zip(CLASSES)
        .map(|(used, (_, weight, _))| (used / sum / (weight / weights) - 1.0).abs() * 100.0);
    (errors.fold(0.0, f64::max), sum / 1000.0 / elapsed)
}

/// Polls of a few hundred microseconds, for ever.
async fn busy(used: Arc<AtomicU64>) {
    let clock = ThreadCpuClock;
    loop {
        let before = clock.thread_time();
        let mut sum = 1.0_f64;
        for step in 0..100_000 {
            sum = sum * 0.999 + black_box(f64::from(step));
        }
        black_box(sum);
        let took = clock.thread_time().saturating_sub(before);
        used.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

//! Calls made on a thread of their own, several in one hand-off.
//!
//! To wake a thread and to be woken by it takes longer than most components take to answer, so a
//! round's calls are handed over together, and the thread works them off one after the other.
//! Whoever waits for it looks now and then at how many have ended: where none has for as long as a
//! call may take, the thread is left to the one that it is at, and another goes on with the rest.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::Clock;

use super::contain::Part;

/// Calls to be made, in this order.
#[derive(Default)]
pub(super) struct Calls(VecDeque<Call>);

/// One call of one component.
pub(super) struct Call {
    pub(super) part: Part,
    make: Box<dyn FnOnce() + Send>,
}

/// Where a call leaves its answer.
#[derive(Debug)]
pub(super) struct Answer<T>(Arc<Mutex<Option<T>>>);

/// What came of a call.
pub(super) enum End {
    /// It came back: how long it took, and the message of its panic where it did.
    Came(Came),
    /// It has not come back; says whether it has by now.
    Hangs(Box<dyn Fn() -> bool + Send>),
    /// It was not made, because an earlier call of the same component has panicked, or hangs.
    Spared,
    /// It could not be made.
    NotMade(String),
}

pub(super) struct Came {
    pub(super) took: Duration,
    pub(super) panic: Option<String>,
}

impl Came {
    pub(super) fn is_well(&self, slow_after: Duration) -> bool {
        self.panic.is_none() && self.took <= slow_after
    }
}

impl Calls {
    /// Adds a call, whose answer is there once the calls have been made and it came back.
    pub(super) fn add<T: Send + 'static>(
        &mut self,
        part: Part,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        let answer = Arc::new(Mutex::new(None));
        let told = Arc::clone(&answer);
        let make = Box::new(move || {
            let answer = call();
            *told.lock() = Some(answer);
        });
        self.0.push_back(Call { part, make });
        Answer(answer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves out the calls that `wanted` says no to.
    pub(super) fn retain(&mut self, wanted: impl FnMut(&Call) -> bool) {
        self.0.retain(wanted);
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        self.0.iter().map(|call| call.part)
    }
}

impl<T> Answer<T> {
    pub(super) fn take(self) -> Option<T> {
        self.0.lock().take()
    }
}

/// Makes calls.
pub(super) struct Crew {
    clock: Arc<dyn Clock>,
    /// How long a call may take on a thread of its own; none where calls are made on the caller's.
    patience: Option<Duration>,
    worker: Option<Worker>,
}

impl Crew {
    pub(super) const fn new(clock: Arc<dyn Clock>, patience: Option<Duration>) -> Self {
        Self { clock, patience, worker: None }
    }

    /// Makes the calls, and says what came of each, in their order.
    pub(super) fn make(&mut self, Calls(mut left): Calls) -> Vec<End> {
        let Some(patience) = self.patience else {
            let mut work = Work::default();
            return left.into_iter().map(|call| work.make(call, &*self.clock)).collect();
        };
        let mut ends: Vec<_> = left.iter().map(|_| End::Spared).collect();
        let mut places: VecDeque<_> = (0..left.len()).collect();
        while !left.is_empty() {
            let running = self.worker.take().map_or_else(|| Worker::start(&self.clock), Ok);
            let worker = match running {
                Ok(worker) => worker,
                Err(error) => {
                    let why = format!("no thread to call it on: {error}");
                    return not_made(ends, places, &why);
                }
            };
            let parts: Vec<_> = left.iter().map(|call| call.part).collect();
            let batch = Arc::new(Batch::new(left));
            let stopped = worker.make(&batch, patience);
            let mut failed = Vec::new();
            for (call, end) in batch.ended.lock().iter_mut().enumerate() {
                failed.extend(end.is_panic().then_some(parts[call]));
                let place = places.pop_front().expect("a place for each call");
                ends[place] = std::mem::replace(end, End::Spared);
            }
            let Hanging { call, rest } = match stopped {
                Stopped::Done => {
                    self.worker = Some(worker);
                    return ends;
                }
                Stopped::Dead => {
                    return not_made(ends, places, "the thread that calls it has ended");
                }
                Stopped::At(hanging) => hanging,
            };
            let place = places.pop_front().expect("a place for each call");
            ends[place] = End::Hangs(Box::new(move || batch.has_ended(call)));
            failed.push(parts[call]);
            let spared = |at: usize| failed.contains(&parts[call + 1 + at]);
            places = keep(places, |at| !spared(at));
            left = keep(rest, |at| !spared(at));
        }
        ends
    }
}

fn not_made(mut ends: Vec<End>, places: VecDeque<usize>, why: &str) -> Vec<End> {
    for place in places {
        ends[place] = End::NotMade(why.to_owned());
    }
    ends
}

/// What of `all` is at a place that `wanted` says yes to.
fn keep<T>(all: VecDeque<T>, wanted: impl Fn(usize) -> bool) -> VecDeque<T> {
    all.into_iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, one)| one).collect()
}

/// Calls made one after the other.
#[derive(Default)]
struct Work {
    /// Whose calls have panicked.
    failed: Vec<Part>,
}

impl Work {
    fn make(&mut self, call: Call, clock: &dyn Clock) -> End {
        if self.failed.contains(&call.part) {
            return End::Spared;
        }
        let start = clock.now();
        let panic = catch(call.make).err();
        self.failed.extend(panic.is_some().then_some(call.part));
        End::Came(Came { took: clock.now().saturating_since(start), panic })
    }
}

impl End {
    const fn is_panic(&self) -> bool {
        matches!(self, Self::Came(Came { panic: Some(_), .. }))
    }
}

/// Calls in one hand-off.
struct Batch {
    todo: Mutex<VecDeque<Call>>,
    /// What came of those that have ended.
    ended: Mutex<Vec<End>>,
    calls: usize,
}

/// Why a batch is not waited for any longer.
enum Stopped {
    /// All calls have been made.
    Done,
    /// One of them hangs.
    At(Hanging),
    /// The thread has ended, which only a panic's message that panics itself brings about.
    Dead,
}

/// The call that has not come back, by its number in its batch, and those behind it.
struct Hanging {
    call: usize,
    rest: VecDeque<Call>,
}

impl Batch {
    fn new(calls: VecDeque<Call>) -> Self {
        let ended = Mutex::new(Vec::with_capacity(calls.len()));
        Self { calls: calls.len(), todo: Mutex::new(calls), ended }
    }

    fn work_off(&self, clock: &dyn Clock) {
        let mut work = Work::default();
        loop {
            let Some(call) = self.todo.lock().pop_front() else { return };
            let end = work.make(call, clock);
            self.ended.lock().push(end);
        }
    }

    fn ended(&self) -> usize {
        self.ended.lock().len()
    }

    fn has_ended(&self, call: usize) -> bool {
        self.ended() > call
    }

    /// Takes away what is behind the call numbered `call`, where that is the one being made.
    fn abandon(&self, call: usize) -> Option<Hanging> {
        let mut todo = self.todo.lock();
        let is_at_it = self.ended() == call && todo.len() + call + 1 == self.calls;
        is_at_it.then(|| Hanging { call, rest: std::mem::take(&mut *todo) })
    }
}

/// A thread that works off batches, one after the other. It ends when this is dropped and its last
/// call has come back.
struct Worker {
    batches: Sender<Arc<Batch>>,
    done: Receiver<()>,
}

/// It is looked at so often, while a call may take as long as it may.
const LOOKS: u32 = 8;

impl Worker {
    fn start(clock: &Arc<dyn Clock>) -> std::io::Result<Self> {
        let (batches, todo) = mpsc::channel::<Arc<Batch>>();
        let (tell, done) = mpsc::sync_channel(1);
        let clock = Arc::clone(clock);
        let work = move || run(&todo, &tell, &*clock);
        std::thread::Builder::new().name("plimsoll-ward".to_owned()).spawn(work)?;
        Ok(Self { batches, done })
    }

    /// Hands `batch` over, and waits until it is worked off or one of its calls hangs.
    fn make(&self, batch: &Arc<Batch>, patience: Duration) -> Stopped {
        if self.batches.send(Arc::clone(batch)).is_err() {
            return Stopped::Dead;
        }
        let (look, mut ended, mut looks) = (patience / LOOKS, 0, 0);
        loop {
            match self.done.recv_timeout(look) {
                Ok(()) => return Stopped::Done,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Stopped::Dead,
            }
            let now = batch.ended();
            looks = if now == ended { looks + 1 } else { 0 };
            ended = now;
            if looks >= LOOKS
                && let Some(hanging) = batch.abandon(ended)
            {
                return Stopped::At(hanging);
            }
        }
    }
}

fn run(todo: &Receiver<Arc<Batch>>, tell: &SyncSender<()>, clock: &dyn Clock) {
    for batch in todo {
        batch.work_off(clock);
        // Nobody may be listening any more.
        if tell.send(()).is_err() {
            return;
        }
    }
}

/// What `call` answers, or its panic's message.
fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    // A component's own state after its panic is its own affair: it must keep answering or panic
    // again, and nothing of ours is touched inside the call.
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| message(panic.as_ref()).to_owned())
}

pub(super) fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use plimsoll_core_types::{ComponentKind, ManualClock};

    const CPU: Part = (ComponentKind::Cpu, 0);
    const LOAD: Part = (ComponentKind::Load, 0);
    const MEMORY: Part = (ComponentKind::Memory, 0);

    fn crew(patience: u64) -> Crew {
        Crew::new(Arc::new(ManualClock::new()), Some(Duration::from_millis(patience)))
    }

    fn names(ends: &[End]) -> Vec<&'static str> {
        let name = |end: &End| match end {
            End::Came(Came { panic: None, .. }) => "came",
            End::Came(_) => "panicked",
            End::Hangs(_) => "hangs",
            End::Spared => "spared",
            End::NotMade(_) => "not made",
        };
        ends.iter().map(name).collect()
    }

    #[test]
    fn one_thread_makes_all_calls_in_their_order_and_those_that_come_later() {
        let mut crew = crew(60_000);
        let who = || std::thread::current().id();
        let mut all = Vec::new();
        for _ in 0..3 {
            let mut calls = Calls::default();
            let order = Arc::new(Mutex::new(Vec::new()));
            let answers: Vec<_> = [CPU, LOAD, MEMORY, CPU]
                .map(|part| {
                    let order = Arc::clone(&order);
                    calls.add(part, move || {
                        order.lock().push(part);
                        who()
                    })
                })
                .into();
            let panics = calls.add(LOAD, || panic!("once"));
            let spared = calls.add(LOAD, || ());
            let ends = crew.make(calls);
            assert_eq!(names(&ends), ["came", "came", "came", "came", "panicked", "spared"]);
            assert_eq!(*order.lock(), [CPU, LOAD, MEMORY, CPU]);
            all.extend(answers.into_iter().filter_map(Answer::take));
            assert_eq!((panics.take(), spared.take()), (None::<()>, None));
        }
        assert_eq!(all.len(), 12);
        assert!(all.iter().all(|id| *id == all[0] && *id != who()));
    }

    #[test]
    fn what_is_behind_a_call_that_hangs_is_made_but_for_calls_of_the_same_part() {
        let mut crew = crew(100);
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let mut calls = Calls::default();
        let mut hang = |part| {
            let held = Arc::clone(&held);
            calls.add(part, move || {
                // Until the other end is dropped.
                let _ = held.lock().recv();
                part
            })
        };
        let (memory, cpu) = (hang(MEMORY), hang(CPU));
        let spared = [calls.add(CPU, || 1), calls.add(MEMORY, || 2)];
        let last = calls.add(LOAD, || 3);
        let ends = crew.make(calls);
        assert_eq!(names(&ends), ["hangs", "hangs", "spared", "spared", "came"]);
        assert_eq!((last.take(), spared.map(Answer::take)), (Some(3), [None, None]));
        let back = |end: &End| matches!(end, End::Hangs(has_come_back) if has_come_back());
        assert!(!ends.iter().any(back));
        drop(release);
        let both = || ends.iter().filter(|end| back(end)).count() == 2;
        assert!((0..1_000_000).any(|_| {
            std::thread::yield_now();
            both()
        }));
        assert_eq!((memory.take(), cpu.take()), (Some(MEMORY), Some(CPU)));
    }
}

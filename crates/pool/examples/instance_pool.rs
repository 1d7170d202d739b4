//! Sessions with a server, warm and lent in turn: made when asked for, checked before they are used
//! again, replaced when they break, as many as the wait objective needs.
//!
//! `cargo run -p plimsoll-pool --example instance_pool`

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core_types::Priority;
use plimsoll_pool::sizing::ErlangC;
use plimsoll_pool::{GetError, Hooks, Manager, Pool, PoolConfig, Retired, Retry};

/// Makes sessions, each of which breaks after so many questions.
#[derive(Default)]
struct Sessions {
    made: AtomicU64,
}

struct Session {
    number: u64,
    questions: u32,
}

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("session {number} has been closed by the other side")]
    Closed { number: u64 },
}

impl Session {
    async fn ask(&mut self) -> u32 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.questions += 1;
        self.questions
    }
}

impl Manager for Sessions {
    type Object = Session;
    type Error = SessionError;

    async fn create(&self) -> Result<Session, SessionError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(Session { number: self.made.fetch_add(1, Ordering::Relaxed), questions: 0 })
    }

    async fn recycle(&self, session: &mut Session) -> Result<(), SessionError> {
        let number = session.number;
        if session.questions < 100 { Ok(()) } else { Err(SessionError::Closed { number }) }
    }
}

/// Counts the questions of sessions that have ended.
#[derive(Default)]
struct Questions(Arc<AtomicU64>);

impl Hooks<Session> for Questions {
    fn on_retire(&self, session: &mut Session, _: Retired) {
        self.0.fetch_add(u64::from(session.questions), Ordering::Relaxed);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let config = PoolConfig {
        wait_within: Some(Duration::from_secs(1)),
        create_within: Some(Duration::from_secs(1)),
        lifetime: Some(Duration::from_mins(30)),
        retry: Retry { attempts: 3, ..Retry::default() },
        min_idle: 1,
        // How often the size follows what was measured: seldom, outside of an example.
        upkeep_every: Duration::from_millis(20),
        ..PoolConfig::new(2)
    };
    let questions = Questions::default();
    let answered = Arc::clone(&questions.0);
    let pool = Pool::builder(Sessions::default(), config)
        .hooks(questions)
        .sizing(ErlangC { most: 16, ..ErlangC::default() })
        .build()?;

    // Sixteen callers, two sessions at first.
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let pool = pool.clone();
            let priority = if caller == 0 { Priority::High } else { Priority::Normal };
            tokio::spawn(async move {
                for _ in 0..20 {
                    pool.get_as(priority).await?.ask().await;
                }
                Ok::<_, GetError<SessionError>>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }

    // There are as many by now as Erlang's formula asks for, from what was measured.
    let (status, waits) = (pool.status(), pool.waits());
    let (created, unfit) = (status.counts.created, status.counts.unfit);
    writeln!(out, "size 2 became {}; {created} were made, {unfit} unfit", status.max)?;
    let (count, median, longest) = (waits.count(), waits.quantile(0.5), waits.longest());
    writeln!(out, "{count} waits: median {median:?}, longest {longest:?}")?;

    // Nobody gets in any more; what is out comes back first.
    pool.close();
    pool.drained().await;
    assert!(matches!(pool.get().await, Err(GetError::Closed)));
    assert_eq!(answered.load(Ordering::Relaxed), 16 * 20);
    Ok(())
}

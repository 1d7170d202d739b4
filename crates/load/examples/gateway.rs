//! A gateway in front of three model replicas, one of which is slow and one of which fails for a
//! while: requests of two tenants wait in one fair queue, go where they should be done first, and
//! are refused with a time to come back when they can't be served.
//!
//! `cargo run -p plimsoll-load --example gateway`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core_types::{Clock, Priority, Ratio, ReplicaId, SystemClock, TenantId};
use plimsoll_load::alert::{AlertConfig, Alerts, CallbackSink, Good, Objective};
use plimsoll_load::tower::{Balanced, Error, Parts, Traffic};
use plimsoll_load::{
    Admission, AdmissionConfig, BackendConfig, Balancer, BalancerConfig, Binding, Demand, Sessions,
    Work,
};
use tower_service::Service;

#[derive(Clone, Copy, Debug)]
struct Prompt {
    number: usize,
    tokens: u32,
    tenant: &'static str,
}

/// Answers after a time that is in proportion to the tokens.
#[derive(Clone, Debug)]
struct Replica {
    per_token: Duration,
    /// These of its requests it fails.
    fails: std::ops::Range<usize>,
    served: Arc<AtomicUsize>,
}

impl Service<Prompt> for Replica {
    type Response = u32;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<u32, &'static str>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, prompt: Prompt) -> Self::Future {
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        let (fails, takes) = (self.fails.contains(&number), self.per_token * prompt.tokens);
        Box::pin(async move {
            if fails {
                return Err("the replica is out of memory");
            }
            tokio::time::sleep(takes).await;
            Ok(prompt.tokens)
        })
    }
}

/// What the gateway knows of a prompt.
struct Prompts(Arc<SystemClock>);

impl<Response> Traffic<Prompt, Response> for Prompts {
    fn demand(&self, prompt: &Prompt) -> Demand {
        Demand {
            priority: Priority::Normal,
            tenant: TenantId::new(prompt.tenant).unwrap_or_default(),
            deadline: Some(self.0.now() + Duration::from_millis(250)),
        }
    }

    fn work(&self, prompt: &Prompt) -> Work {
        Work::expecting(Duration::from_micros(200) * prompt.tokens)
            .of_key(prompt.number as u64 % 40)
    }
}

fn gateway(clock: &Arc<SystemClock>, alerts: Arc<Alerts>) -> Balanced<Replica, Prompts> {
    // The excess waits here, for whichever replica is free first: a permit for each slot.
    let config = BalancerConfig { binding: Binding::Late, ..BalancerConfig::default() };
    let balancer = Arc::new(Balancer::new(config));
    let config = AdmissionConfig { limit: 12, max_waiting: 60, ..AdmissionConfig::default() };
    let admission = Arc::new(Admission::new(config, Arc::clone(clock) as Arc<dyn Clock>));
    let parts = Parts {
        admission: Some(admission),
        alerts: Some(alerts),
        sessions: Some(Sessions::new(1000, Duration::from_millis(2))),
        traffic: Prompts(Arc::clone(clock)),
    };
    let gateway = Balanced::with(balancer, Arc::clone(clock) as Arc<dyn Clock>, parts);
    let replica = |micros, fails| Replica {
        per_token: Duration::from_micros(micros),
        fails,
        served: Arc::default(),
    };
    for (id, replica) in
        [replica(200, 0..0), replica(600, 0..0), replica(200, 30..60)].into_iter().enumerate()
    {
        let config = BackendConfig { slots: 4, ..BackendConfig::default() };
        gateway.add(ReplicaId::new(id as u64), config, replica);
    }
    gateway
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Arc::new(SystemClock::new());
    let objective = Objective {
        subject: "gateway".to_owned(),
        good: Good::Answered,
        target: Ratio::saturating(0.999),
    };
    let config = AlertConfig { objectives: vec![objective], ..AlertConfig::default() };
    let sink = CallbackSink::new(|alert| {
        println!("{} alert {}: {}", alert.severity, alert.name, alert.cause);
    });
    let alerts = Arc::new(Alerts::new(&config, vec![Arc::new(sink)])?);
    let gateway = gateway(&clock, Arc::clone(&alerts));

    let mut running = tokio::task::JoinSet::new();
    for number in 0..1500 {
        let tenant = if number % 5 == 0 { "small" } else { "large" };
        let prompt = Prompt { number, tokens: 20 + (number as u32 * 37) % 100, tenant };
        let mut gateway = gateway.clone();
        running.spawn(async move { (tenant, gateway.call(prompt).await) });
        if number % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let (mut served, mut failed, mut refused, mut small) = (0, 0, 0, 0);
    let mut longest = Duration::ZERO;
    while let Some(ended) = running.join_next().await {
        let (tenant, answer) = ended?;
        match answer {
            Ok(_) => served += 1,
            Err(Error::Refused(why)) => {
                longest = longest.max(why.retry_after);
                refused += 1;
                small += usize::from(tenant == "small");
            }
            Err(_) => failed += 1,
        }
    }
    alerts.observe(clock.now());
    println!("{served} served, {failed} failed, {refused} refused ({small} of the small tenant)");
    println!("the longest that somebody was told to wait: {longest:?}");
    for backend in gateway.balancer().backends() {
        let (id, time, standing) = (backend.id, backend.service_time, backend.standing);
        println!(
            "replica {id}: {standing:?}, typical work takes {time:?}, {} in progress",
            backend.in_progress
        );
    }
    Ok(())
}

//! The service beside a real runtime.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, CpuManager as _, ManualClock, Priority, Task, TaskClass, TaskId, TenantId,
    Timestamp,
};
use plimsoll_cpu::account::{CpuClock as _, ThreadCpuClock};
use plimsoll_cpu::runtime::RuntimeLoad;
use plimsoll_cpu::{CpuConfig, CpuService, HostCpu};

#[tokio::test]
async fn a_service_adds_up_what_it_is_told_and_what_it_accounts() {
    let clock = Arc::new(ManualClock::new());
    let host = Arc::new(HostCpu::system());
    let service = CpuService::new(host, clock.clone(), CpuConfig::default());
    let class = |priority| TaskClass { model: None, tenant: TenantId::DEFAULT, priority };
    let task = |second: u64| Task {
        id: TaskId::new(1),
        consumer: ConsumerId::new("engine").unwrap(),
        class: class(Priority::Low),
        worker: None,
        at: Timestamp::ZERO + Duration::from_secs(second),
        cpu: Duration::from_millis(700),
        waited: Duration::from_millis(10),
        work: 10,
        threads: 1,
    };
    for second in 1..=5 {
        clock.advance(Duration::from_secs(1));
        service.track_usage(&task(second));
    }
    let burn = ThreadCpuClock;
    let work = async {
        let end = burn.thread_time() + Duration::from_millis(5);
        while burn.thread_time() < end {}
    };
    service.accountant().account(&class(Priority::High), work).await;
    for _ in 0..2 {
        // Asked twice, it counts nothing twice.
        let status = service.status();
        let cpu = |priority| {
            let own = status.classes.iter().find(|usage| usage.class == Some(class(priority)));
            own.unwrap().cpu
        };
        assert_eq!(cpu(Priority::Low), Duration::from_millis(3500));
        assert!((5..50).contains(&cpu(Priority::High).as_millis()), "{status:?}");
    }
    let plan = service.optimize_threads();
    assert_eq!((plan.assignments.len(), plan.cores), (1, service.status().effective.cores));
    let advice = service.advise_runtime(&RuntimeLoad::default());
    assert!(advice.workers >= 1);
    service.watch(ConsumerId::new("own").unwrap(), std::process::id()).unwrap();
    assert_eq!(service.monitor().processes.len(), 1);
    assert!(service.balance_load().moves.is_empty());
}

//! Work compiled once more for machines with more registers.

#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "what is compiled for some machines only is unsafe to call")
)]

/// Something to be done with all registers that the machine has.
pub(crate) trait Job {
    type Output;

    /// Does it. It and all that takes long in it must be inlined (always), or else that is compiled
    /// for the least of machines.
    fn run(self) -> Self::Output;
}

/// Does `job`, where the machine has AVX-512 with its thirty-two registers and its constants in
/// operations. Nothing is fused, so that the results are the same.
#[inline]
pub(crate) fn widest<J: Job>(job: J) -> J::Output {
    #[cfg(target_arch = "x86_64")]
    if *x86::WIDE {
        // SAFETY: the machine was asked for all that this is compiled for.
        return unsafe { x86::wide(job) };
    }
    job.run()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::is_x86_feature_detected as has;
    use std::sync::LazyLock;

    use super::Job;

    pub(super) static WIDE: LazyLock<bool> = LazyLock::new(|| {
        has!("avx2")
            && has!("bmi1")
            && has!("bmi2")
            && has!("avx512f")
            && has!("avx512bw")
            && has!("avx512dq")
            && has!("avx512vl")
    });

    #[target_feature(enable = "avx2,bmi1,bmi2,avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) fn wide<J: Job>(job: J) -> J::Output {
        job.run()
    }
}

//! Which instructions of the CPU are used: found out when the program runs.
//!
//! Every level gives the same bits. The chip has only the portable one.

/// Instructions that may be used; a level that exists here, the CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Instructions);

/// What to match on; code for a level may assume that the CPU has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// Rust alone.
    Portable,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ, VL, VBMI and VNNI, and all of AVX2's.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// All levels of this CPU, the fastest first.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            #[cfg(target_arch = "x86_64")]
            has_avx512().then_some(Instructions::Avx512),
            #[cfg(target_arch = "x86_64")]
            has_avx2().then_some(Instructions::Avx2),
            Some(Instructions::Portable),
        ]
        .into_iter()
        .flatten()
        .map(Self)
    }

    /// The fastest level of this CPU.
    pub fn best() -> Self {
        Self::all().next().unwrap_or(Self(Instructions::Portable))
    }

    pub(crate) const fn instructions(self) -> Instructions {
        self.0
    }

    /// A short name, such as `avx512`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Instructions::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => "avx512",
        }
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! has {
    ($($feature:tt)*) => { true $(&& std::arch::is_x86_feature_detected!($feature))* };
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    has!("avx2" "fma")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2() && has!("avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512vbmi" "avx512vnni")
}

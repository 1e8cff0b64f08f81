//! Firmware by name, for the verdict whether a model fits.

use clap::{Args, ValueEnum};

/// How much memory there is.
#[derive(Args, Clone, Copy)]
pub struct Room {
    /// The firmware that the model is to run on
    #[arg(long, value_enum, default_value_t = Profile::MaixpyMinimum)]
    profile: Profile,
    /// Bytes that are free, instead of the profile's
    #[arg(long, value_name = "BYTES")]
    free: Option<usize>,
}

/// A firmware.
#[derive(Clone, Copy, ValueEnum)]
pub enum Profile {
    /// MaixPy, minimum build: 4,300,000 bytes free at boot
    MaixpyMinimum,
    /// MaixPy, full build: 3,670,016 bytes free (6 MiB less 2 MiB firmware and 512 KiB Python heap)
    Maixpy,
    /// A program that takes next to nothing: all 6,291,456 bytes of the chip
    Bare,
}

impl Room {
    /// Name of the profile, or that the number was given.
    pub fn name(&self) -> String {
        match self.free {
            Some(_) => "--free".to_string(),
            None => {
                self.profile.to_possible_value().map_or(String::new(), |v| v.get_name().to_string())
            }
        }
    }

    /// Bytes that are free.
    pub fn bytes(&self) -> usize {
        self.free.unwrap_or(match self.profile {
            Profile::MaixpyMinimum => 4_300_000,
            Profile::Maixpy => 3_670_016,
            Profile::Bare => 6 << 20,
        })
    }
}

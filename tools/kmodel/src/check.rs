//! `kmodel check`: whether a model loads and fits.

use crate::{
    failure::{Failure, Result},
    model_file::{ModelFile, ModelPath},
};
use clap::Args;
use maix_kpu::{model::Model, session::Requirements};

/// Bytes that the MaixPy minimum firmware has free at boot.
pub const MAIXPY_MINIMUM: usize = 4_300_000;

/// Arguments of `check`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelPath,
    /// Bytes that the firmware has free; the default is that of the MaixPy minimum firmware
    #[arg(long, default_value_t = MAIXPY_MINIMUM, value_name = "BYTES")]
    free: usize,
}

/// Opens a model; the error names the file.
pub fn open(file: &ModelFile) -> Result<Model> {
    Model::open(&&file.bytes[..]).map_err(|e| Failure::from(e).of(&file.name))
}

/// Bytes of memory that a loaded model takes: the file and the working memory.
pub fn needed(model: &Model, file: &ModelFile) -> Result<usize> {
    Ok(file.bytes.len() + Requirements::of(model, &&file.bytes[..])?.bytes())
}

/// Fails with the reason unless every model loads and fits.
pub fn run(options: &Options) -> Result<()> {
    for file in options.model.read_all()? {
        let needed = needed(&open(&file)?, &file)?;
        if needed > options.free {
            return Err(Failure::new(
                format!(
                    "{}: file and working memory take {needed} bytes, {} are free",
                    file.name, options.free
                ),
                "use a smaller model or firmware, or load_flash",
            ));
        }
        println!("{}: ok, takes {needed} of {} bytes", file.name, options.free);
    }
    Ok(())
}

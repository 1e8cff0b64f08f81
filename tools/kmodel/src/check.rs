//! `kmodel check`: whether a model loads and fits.

use crate::{
    failure::{Failure, Result},
    model_file::{ModelFile, ModelPath},
    profile::Room,
};
use clap::Args;
use maix_kpu::{model::Model, session::Requirements};

/// Arguments of `check`.
#[derive(Args)]
pub struct CheckOptions {
    #[command(flatten)]
    model: ModelPath,
    #[command(flatten)]
    room: Room,
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
pub fn run(options: &CheckOptions) -> Result<()> {
    let free = options.room.bytes();
    for file in options.model.read_all()? {
        let needed = needed(&open(&file)?, &file)?;
        if needed > free {
            let over = needed - free;
            return Err(Failure::new(
                format!(
                    "{}: file and working memory take {needed} bytes, {over} more than the {free} \
                     that are free ({})",
                    file.name,
                    options.room.name()
                ),
                "use a smaller model or input, other firmware (--profile), or load_flash",
            ));
        }
        say!("{}: ok, takes {needed} of {free} bytes ({})", file.name, options.room.name());
    }
    Ok(())
}

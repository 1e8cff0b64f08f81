//! Writes every sample into a folder: `seeds FOLDER`.

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| "seeds".into());
    std::fs::create_dir_all(&folder)?;
    for (name, file) in kmodel_samples::all() {
        std::fs::write(std::path::Path::new(&folder).join(name), file)?;
    }
    Ok(())
}

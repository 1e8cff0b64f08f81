//! Writes every sample into a folder, as it is and with metadata behind it: `seeds FOLDER`.

use maix_kpu::model::metadata::Content;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| "seeds".into());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let metadata = Content {
        labels: "cat\ndog",
        anchors: &[1.0, 2.5],
        input_range: Some((-1.0, 1.0)),
        note: "a sample",
    };
    for (name, mut file) in kmodel_samples::all() {
        std::fs::write(folder.join(name), &file)?;
        metadata.write(&mut |bytes| file.extend(bytes));
        std::fs::write(folder.join(format!("{name}_metadata")), &file)?;
    }
    Ok(())
}

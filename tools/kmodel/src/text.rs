//! Names, labels and shapes as they are printed.

use maix_kpu::{
    model::{Model, Tensor, metadata::Metadata},
    tensor::Shape,
};

/// `1x3x224x224`
pub fn shape(shape: &Shape) -> String {
    shape.map(|dim| dim.to_string()).join("x")
}

/// `uint8 1x3x224x224`
pub fn tensor(tensor: &Tensor) -> String {
    format!("{} {}", tensor.dtype.name(), shape(&tensor.shape))
}

/// `1,234,567`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What stands behind a model, as text and numbers.
#[derive(Default)]
pub struct Notes {
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Anchors (width, height) of a detector.
    pub anchors: Vec<[f32; 2]>,
    /// What pixels 0 and 255 stand for.
    pub input_range: Option<(f32, f32)>,
    /// A note.
    pub note: String,
    /// Whether there is any of it.
    pub present: bool,
}

impl Notes {
    /// The metadata of a model.
    pub fn of(model: &Model, file: &[u8]) -> Self {
        let metadata = model.metadata(&file);
        let text = |span: maix_kpu::model::Span| {
            String::from_utf8_lossy(span.of(file).unwrap_or_default()).into_owned()
        };
        let anchors = metadata.anchors.of(file).unwrap_or_default();
        let anchors: Vec<f32> =
            anchors.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        Self {
            labels: text(metadata.labels).lines().map(str::to_string).collect(),
            anchors: anchors.as_chunks().0.to_vec(),
            // Adding zero makes -0.0 to 0.0.
            input_range: metadata.input_range.map(|(low, high)| (low + 0.0, high + 0.0)),
            note: text(metadata.note),
            present: metadata != Metadata::default(),
        }
    }

    /// The name of a class, if it has one.
    pub fn label(&self, class: usize) -> Option<&str> {
        self.labels.get(class).map(String::as_str).filter(|label| !label.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}

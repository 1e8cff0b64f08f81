//! Boxes that a YOLOv2 model finds, as numbers and drawn into the picture.

use crate::{
    failure::{Failure, Result},
    given::Fitting,
    machine::Value,
    picture::{self, Resize},
    text::Notes,
};
use clap::Args;
use maix_kpu::{
    tensor::Dtype,
    vision::{
        yolo::{Detection, Limits, Region},
        yolo2::Yolo2,
    },
};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// Arguments about boxes.
#[derive(Args)]
pub struct BoxOptions {
    /// Read the first output as YOLOv2's; anchors (width, height, ...) in cells of the grid, without
    /// them those of the model's metadata
    #[arg(long, value_name = "A,B,...", num_args = 0..=1, default_missing_value = "", value_parser = anchors)]
    yolo2: Option<Anchors>,
    /// Number of classes, checked against the model's output
    #[arg(long, value_name = "N", requires = "yolo2")]
    classes: Option<usize>,
    /// Least probability of a box
    #[arg(long, value_name = "T", default_value_t = 0.5, requires = "yolo2")]
    threshold: f32,
    /// Overlap (intersection over union) above which the less probable box goes
    #[arg(long, value_name = "T", default_value_t = 0.3, requires = "yolo2")]
    nms: f32,
    /// Draw the boxes into the picture that was given and save it
    #[arg(long, value_name = "PICTURE", requires = "yolo2")]
    save: Option<PathBuf>,
}

/// Anchors as given; empty: those of the metadata.
#[derive(Clone)]
pub struct Anchors(pub Vec<[f32; 2]>);

/// Reads pairs of positive numbers.
pub fn anchors(text: &str) -> std::result::Result<Anchors, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let numbers: Vec<f32> = parts
        .map(|part| {
            let number = part.parse::<f32>().ok().filter(|&v| v > 0.0 && v.is_finite());
            number.ok_or(format!("{part} is no positive number"))
        })
        .collect::<std::result::Result<_, _>>()?;
    match numbers.as_chunks() {
        (pairs, []) => Ok(Anchors(pairs.to_vec())),
        _ => Err(format!("{} numbers are no pairs of width and height", numbers.len())),
    }
}

impl BoxOptions {
    /// Whether boxes are asked for.
    pub fn wanted(&self) -> bool {
        self.yolo2.is_some()
    }

    /// Finds the boxes in a model's outputs, in fractions of the picture that was given; saves the
    /// picture if that is asked for. `net` is the model's input size.
    pub fn find(
        &self,
        outputs: &[Value],
        notes: &Notes,
        input: (&Path, (u32, u32)),
        fitting: &Fitting,
    ) -> Result<Vec<Json>> {
        let Some(Anchors(given)) = &self.yolo2 else { return Ok(Vec::new()) };
        let anchors = if given.is_empty() { &notes.anchors } else { given };
        if anchors.is_empty() {
            return Err(Failure::new(
                "no anchors: the model's metadata holds none",
                "give those that the model was trained with: --yolo2 W,H,W,H,...",
            ));
        }
        let [output] = outputs else {
            let count = outputs.len();
            return Err(Failure::new(
                format!("a YOLOv2 model has one output, this one has {count}"),
                "leave --yolo2 out",
            ));
        };
        if output.tensor.dtype != Dtype::F32 {
            return Err(Failure::new(
                "the output holds bytes, YOLOv2 needs floats",
                "compile the model so that its last operator dequantizes",
            ));
        }
        let yolo = Yolo2::new(output.tensor.image(), anchors)?;
        if self.classes.is_some_and(|classes| classes != yolo.classes()) {
            return Err(Failure::new(
                format!(
                    "{} anchors and {} channels make {} classes, not {}",
                    anchors.len(),
                    output.tensor.image().channels,
                    yolo.classes(),
                    self.classes.unwrap_or_default()
                ),
                "check the number of anchors and classes: channels = anchors * (5 + classes)",
            ));
        }
        let mut memory = vec![Detection::default(); yolo.boxes()];
        let limits = Limits { threshold: self.threshold, nms: self.nms };
        let found = yolo.detect(&output.numbers(), limits, &mut memory)?;
        let (path, net) = input;
        let picture = picture::open(path).ok();
        let size = picture.as_ref().map_or(net, |p| (p.width(), p.height()));
        let resize = fitting.resize.filter(|_| size != net).unwrap_or(Resize::Stretch);
        let found: Vec<(Region, &Detection)> =
            found.iter().map(|d| (resize.undo(d.region, net, size), d)).collect();
        if let Some(target) = &self.save {
            let picture = picture.ok_or_else(|| {
                Failure::new("--save needs a picture to draw into", "give a picture with --input")
            })?;
            let mut picture = picture.into_rgb8();
            for (region, found) in &found {
                picture::draw(&mut picture, region, found.class as usize);
            }
            picture.save(target).map_err(|e| Failure::file(target, e))?;
        }
        Ok(found
            .iter()
            .map(|(region, d)| {
                let rect = region.rect(size.0, size.1);
                json!({
                    "class": d.class,
                    "label": notes.label(d.class as usize),
                    "probability": d.probability,
                    "x": rect.x, "y": rect.y, "w": rect.w, "h": rect.h,
                })
            })
            .collect())
    }
}

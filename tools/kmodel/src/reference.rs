//! The float model that a kmodel was compiled from, as a reference.
//!
//! A kmodel does not say which tensor of the model a node computes. So each node is compared with
//! every tensor of the same shape and takes the one that it comes closest to; bytes are scaled to it
//! by least squares, since their scale and zero point are not stored either. Each channel is scaled by
//! itself, because compilers balance channels against each other. The KPU's images may have pixels around
//! the tensor, channels behind it, or be computed at step 1 where the tensor has every second or fourth
//! pixel; it is then looked for at each place inside.

use crate::{
    compare::{Distance, Row},
    compile,
    failure::{Failure, Result},
    given::{Fitting, Given},
    machine::{Machine, Recorder, Value},
    text,
};
use kmodel_compiler::{
    eval,
    graph::Graph,
    import::{self, InputFormat},
};
use maix_kpu::{
    input::Conversion,
    model::Tensor,
    tensor::{Dtype, ImageShape},
};
use std::{path::Path, sync::Arc};

/// Fewest bytes whose scale can be told from their values.
const FEWEST: usize = 8;
/// Fewest pixels of a channel that is scaled by itself; smaller ones would fit too easily.
const SMALLEST_PLANE: usize = 16;
/// A tensor that is farther away than this is no counterpart.
const FARTHEST: f64 = 3.0;
/// A tensor that another node comes closer to by so many decibels is that node's.
const MUCH_CLOSER: f64 = 10.0;
/// Why a node has no counterpart though a tensor is near.
const ANOTHERS: &str = "the nearest tensor is another node's, which comes much closer to it";
/// Why a node cannot have a counterpart.
const TOO_FEW: &str = "too few bytes to tell their scale";
/// Most pixels of a border around a tensor, in each direction.
const WIDEST_BORDER: usize = 8;

/// The float model.
pub struct Reference {
    graph: Graph,
}

impl Reference {
    /// Reads a .tflite or .onnx file.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = compile::read(path)?;
        let format = InputFormat::of(&bytes, None)
            .map_err(|problem| compile::failure(problem).of(path.display()))?;
        match import::import(&bytes, format, path.parent()) {
            Ok(imported) => Ok(Self { graph: imported.graph }),
            Err(problems) => {
                let first = problems.first().map(ToString::to_string).unwrap_or_default();
                Err(Failure::new(
                    format!(
                        "{}: {} problems, the first: {}",
                        path.display(),
                        problems.len(),
                        first.lines().next().unwrap_or_default()
                    ),
                    "see all of them with `kmodel compile`",
                ))
            }
        }
    }

    /// Runs both models; a row for each node and output of the kmodel.
    pub fn compare(
        &self,
        machine: &mut Machine,
        given: &[Given],
        fitting: &Fitting,
    ) -> Result<Vec<Row>> {
        let tensors = machine.inputs()?;
        let counts: Vec<usize> =
            self.graph.inputs.iter().map(|&id| self.graph.tensors[id].elements()).collect();
        if !tensors.iter().map(Tensor::elements).eq(counts.iter().copied()) {
            return Err(Failure::new(
                "the models take different inputs",
                "give the model that the kmodel was compiled from",
            ));
        }
        let range = fitting.input_range.or(machine.notes().input_range);
        let mut real = Vec::new();
        for ((given, tensor), &id) in given.iter().zip(&tensors).zip(&self.graph.inputs) {
            let range = range.or(self.graph.tensors[id].range).unwrap_or((0.0, 1.0));
            real.push(numbers(given, tensor, range)?);
        }
        let mut known: Vec<(usize, Arc<[f32]>)> = Vec::new();
        let real: Vec<&[f32]> = real.iter().map(Vec::as_slice).collect();
        let expected = eval::run(&self.graph, &real, &mut |id, values| {
            known.push((id, values.into()));
        });
        let mut recorder = Recorder::default();
        let inputs: Vec<_> = given.iter().map(Given::input).collect();
        let outputs = machine.forward(&inputs, fitting.conversion(), &mut recorder)?;
        let mut rows = Vec::new();
        let counterparts: Vec<Result<(usize, Distance), &str>> =
            recorder.nodes.iter().map(|(_, value)| self.closest(value, &known)).collect();
        for (index, (operator, value)) in recorder.nodes.iter().enumerate() {
            let closest = counterparts[index].and_then(|(id, distance)| {
                let others = counterparts.iter().flatten().filter(|(other, _)| *other == id);
                let nearest = others.map(|(_, d)| d.decibels).fold(f64::MIN, f64::max);
                match nearest < distance.decibels + MUCH_CLOSER {
                    true => Ok((id, distance)),
                    false => Err(ANOTHERS),
                }
            });
            rows.push(Row {
                name: format!("node {index}"),
                what: match closest {
                    Ok((id, _)) => format!("{operator}: {}", self.graph.tensors[id].name),
                    Err(_) => operator.to_string(),
                },
                tensor: text::tensor(&value.tensor),
                difference: closest.map(|(_, distance)| distance),
                is_output: false,
            });
        }
        for (index, (value, expected)) in outputs.iter().zip(&expected).enumerate() {
            rows.push(Row {
                name: format!("output {index}"),
                what: String::new(),
                tensor: text::tensor(&value.tensor),
                difference: distance(
                    value.tensor.dtype,
                    value.tensor.image().plane(),
                    value.numbers(),
                    expected,
                )
                .ok_or(if value.tensor.elements() == expected.len() {
                    TOO_FEW
                } else {
                    "the float model's output has another size"
                }),
                is_output: true,
            });
        }
        Ok(rows)
    }

    /// The tensor that a node's result comes closest to: of the same shape, or one that lies in it; or
    /// why there is none.
    fn closest(
        &self,
        value: &Value,
        known: &[(usize, Arc<[f32]>)],
    ) -> Result<(usize, Distance), &'static str> {
        let sizes = |dims: &[usize]| dims.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
        let wanted = sizes(&value.tensor.shape);
        let flat = value.tensor.elements();
        if value.tensor.dtype == Dtype::U8 && flat < FEWEST {
            return Err(TOO_FEW);
        }
        let numbers = value.numbers();
        let plane = value.tensor.image().plane();
        let same = known.iter().filter(|(id, _)| {
            let sizes = sizes(&self.graph.tensors[*id].shape);
            sizes == wanted
                || sizes == [flat]
                || (wanted == [flat] && sizes.iter().product::<usize>() == flat)
        });
        let same: Vec<_> = same
            .filter_map(|(id, expected)| {
                Some((*id, distance(value.tensor.dtype, plane, numbers.clone(), expected)?))
            })
            .collect();
        let inner = || {
            known.iter().flat_map(|(id, expected)| {
                let image = image(&self.graph.tensors[*id].shape);
                let parts = image.map_or(Vec::new(), |image| inside(value, &numbers, image));
                parts.into_iter().filter_map(move |part| {
                    let plane = image?.plane();
                    Some((*id, distance(value.tensor.dtype, plane, part, expected)?))
                })
            })
        };
        let found = match (nearest(same.iter().copied()), nearest(inner())) {
            (Some(same), Some(inner)) if inner.1.decibels > same.1.decibels + MUCH_CLOSER => {
                Some(inner)
            }
            (same, inner) => same.or(inner),
        };
        let none = || match same.is_empty() && inner().next().is_none() {
            true => "the float model has no tensor of this shape, nor one that lies in it",
            false => "the float model's tensors of this shape hold other values",
        };
        found.ok_or_else(none)
    }
}

/// The nearest of several tensors.
fn nearest(tensors: impl Iterator<Item = (usize, Distance)>) -> Option<(usize, Distance)> {
    tensors
        .filter(|(_, distance)| distance.decibels > FARTHEST)
        .max_by(|a, b| a.1.decibels.total_cmp(&b.1.decibels))
}

/// A tensor of the graph as an image; a vector has pixels of its own.
fn image(shape: &[usize]) -> Option<ImageShape> {
    match *shape {
        [1, c, h, w] => Some(ImageShape::new(c, h, w)),
        [1, c] | [c] => Some(ImageShape::new(c, 1, 1)),
        _ => None,
    }
}

/// The parts of an image that a smaller `image` may be: its first planes, of these a rectangle, or every
/// second or fourth pixel of one.
fn inside(value: &Value, numbers: &[f32], image: ImageShape) -> Vec<Vec<f32>> {
    let whole = value.tensor.image();
    if value.tensor.shape[0] != 1 || whole.channels < image.channels {
        return Vec::new();
    }
    let part = |[top, left]: [usize; 2], step: usize| {
        let lines = (0..image.channels * image.height).flat_map(move |line| {
            let (plane, y) = (line / image.height, line % image.height);
            let start = (plane * whole.height + top + y * step) * whole.width + left;
            (0..image.width).map(move |x| numbers[start + x * step])
        });
        lines.collect()
    };
    let parts = [1, 2, 4].into_iter().flat_map(|step| {
        // What is left of the image where the part begins at its corner.
        let room = |whole: usize, part: usize| whole.checked_sub((part.max(1) - 1) * step + 1);
        let rooms = room(whole.height, image.height).zip(room(whole.width, image.width));
        let fits = |&(rows, columns): &(usize, usize)| {
            let exact = [rows, columns, whole.channels - image.channels] == [0; 3];
            rows.max(columns) <= WIDEST_BORDER && !(step == 1 && exact)
        };
        let places = rooms.filter(fits).into_iter().flat_map(|(rows, columns)| {
            (0..=rows).flat_map(move |top| (0..=columns).map(move |left| [top, left]))
        });
        places.map(move |place| (place, step))
    });
    parts.map(|(place, step)| part(place, step)).collect()
}

/// The numbers that a kmodel's input stands for.
fn numbers(given: &Given, tensor: &Tensor, (low, high): (f32, f32)) -> Result<Vec<f32>> {
    let conversion = Conversion::range(low, high);
    if tensor.dtype == Dtype::F32 {
        let mut numbers = vec![0.0f32; tensor.elements()];
        given.input().put(tensor, &conversion, bytemuck::cast_slice_mut(&mut numbers))?;
        return Ok(numbers);
    }
    let mut bytes = vec![0; tensor.elements()];
    given.input().put(tensor, &conversion, &mut bytes)?;
    Ok(bytes.iter().map(|&byte| low + (high - low) / 255.0 * f32::from(byte)).collect())
}

/// How far numbers are from a tensor of as many elements; bytes are scaled to it first, planes of `plane`
/// pixels each by itself.
fn distance(
    dtype: Dtype,
    plane: usize,
    mut numbers: Vec<f32>,
    expected: &[f32],
) -> Option<Distance> {
    if numbers.len() != expected.len() {
        return None;
    }
    if dtype == Dtype::U8 {
        if numbers.len() < FEWEST {
            return None;
        }
        let part = if plane < SMALLEST_PLANE { numbers.len() } else { plane };
        for (numbers, expected) in numbers.chunks_mut(part).zip(expected.chunks(part)) {
            let (scale, offset) = fit(numbers, expected);
            numbers.iter_mut().for_each(|number| *number = *number * scale + offset);
        }
    }
    Some(Distance::between(expected, &numbers))
}

/// Scale and offset that bring `from` closest to `to`.
fn fit(from: &[f32], to: &[f32]) -> (f32, f32) {
    let n = from.len() as f64;
    let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let (from_mean, to_mean) = (mean(from), mean(to));
    let (mut product, mut square) = (0.0, 0.0);
    for (&from, &to) in from.iter().zip(to) {
        let from = f64::from(from) - from_mean;
        product += from * (f64::from(to) - to_mean);
        square += from * from;
    }
    let scale = if square > 0.0 { product / square } else { 0.0 };
    (scale as f32, (to_mean - scale * from_mean) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use maix_kpu::model::Place;

    #[test]
    fn a_tensor_is_found_inside_of_a_larger_image() {
        let tensor = Tensor { place: Place::Main(0), dtype: Dtype::U8, shape: [1, 1, 4, 5] };
        let value = Value { tensor, bytes: (0..20).collect() };
        let parts = inside(&value, &value.numbers(), ImageShape::new(1, 3, 3));
        assert_eq!(parts.len(), 6);
        assert_eq!(parts[4], [6.0, 7.0, 8.0, 11.0, 12.0, 13.0, 16.0, 17.0, 18.0]);
        assert!(inside(&value, &value.numbers(), ImageShape::new(1, 4, 5)).is_empty());
        let parts = inside(&value, &value.numbers(), ImageShape::new(1, 2, 2));
        assert!(parts.contains(&vec![6.0, 8.0, 16.0, 18.0]), "every second pixel: {parts:?}");
        let tensor = Tensor { shape: [1, 2, 2, 5], ..tensor };
        let value = Value { tensor, bytes: (0..20).collect() };
        let first_plane: Vec<f32> = (0..10u8).map(f32::from).collect();
        assert_eq!(inside(&value, &value.numbers(), ImageShape::new(1, 2, 5)), [first_plane]);
        assert!(inside(&value, &value.numbers(), ImageShape::new(3, 2, 3)).is_empty());
    }

    #[test]
    fn a_scale_is_found_again() {
        let from = [0.0, 10.0, 20.0, 255.0];
        let (scale, offset) = fit(&from, &from.map(|v| v * 0.5 - 3.0));
        assert!((scale - 0.5).abs() < 1e-6 && (offset + 3.0).abs() < 1e-4, "{scale} {offset}");
        assert_eq!(fit(&[7.0; 3], &[1.0, 2.0, 3.0]), (0.0, 2.0));
    }
}

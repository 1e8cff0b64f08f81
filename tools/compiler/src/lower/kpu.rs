//! Images in KPU RAM: how tensors get there, where they lie, how they come back.

use std::collections::HashMap;

use maix_kpu::{
    kpu::memory::{KPU_RAM_ROWS, RowLayout, rows},
    tensor::{Dtype, ImageShape},
};

use super::{Frame, KpuHome, Lowering};
use crate::{
    graph::{Op, TensorId},
    problem::Problem,
    program::{KpuLayer, Place, StepOp, ValueId},
};

/// Tensors that become parts of a concatenated image.
#[derive(Default)]
pub struct Placements {
    /// The concatenated tensor and the first channel in it.
    parts: HashMap<TensorId, (TensorId, usize)>,
    /// The images that have been made.
    images: HashMap<TensorId, ValueId>,
}

impl Placements {
    /// Finds concatenations whose parts can be written side by side.
    pub(super) fn plan(lowering: &Lowering<'_>) -> Self {
        let graph = lowering.graph;
        let mut found = Self::default();
        for node in &graph.nodes {
            let &[1, channels, h, w] = graph.shape(node.output) else { continue };
            let group = RowLayout::of(w).group;
            let fits = rows(ImageShape::new(channels, h, w)) <= KPU_RAM_ROWS / 2;
            if !matches!(node.op, Op::Concat { axis: 1 }) || !fits || h < 4 || w < 4 || channels > 1024 {
                continue;
            }
            let feeds_kpu = graph.nodes.iter().any(|n| {
                n.inputs.contains(&node.output) && matches!(n.op, Op::Conv2d(_) | Op::Map(_) | Op::Pool(_))
            });
            let mut first = 0usize;
            let mut parts = Vec::new();
            for &id in &node.inputs {
                let same = lowering.q(id) == lowering.q(node.output);
                if !first.is_multiple_of(group) || found.parts.contains_key(&id) || !same || graph.tensors[id].data.is_some() || graph.inputs.contains(&id) {
                    parts.clear();
                    break;
                }
                parts.push((id, (node.output, first)));
                first += graph.shape(id)[1];
            }
            let mut distinct: Vec<TensorId> = node.inputs.clone();
            distinct.sort_unstable();
            distinct.dedup();
            if feeds_kpu && distinct.len() == node.inputs.len() {
                found.parts.extend(parts);
            }
        }
        found
    }
}

impl<'g> Lowering<'g> {
    /// The image that a KPU layer or an upload writes for a tensor: a part of a larger one if that
    /// saves a concatenation.
    fn image(&mut self, tensor: Option<TensorId>, image: ImageShape) -> ValueId {
        let shape = [1, image.channels, image.height, image.width];
        let value = self.program.value(Dtype::U8, shape, Place::Kpu, tensor);
        if let Some(id) = tensor
            && let Some(&(whole, first)) = self.placements.parts.get(&id)
            && let &[_, channels, h, w] = self.graph.shape(whole)
            && (h, w) == (image.height, image.width)
        {
            let parent = *self.placements.images.entry(whole).or_insert_with(|| {
                self.program.value(Dtype::U8, [1, channels, h, w], Place::Kpu, Some(whole))
            });
            let distance = rows(ImageShape::new(first, h, w));
            self.program.values[value].within = Some((parent, if first == 0 { 0 } else { distance }));
        }
        value
    }

    /// The bytes of a tensor, cut out of its image.
    pub(super) fn download(&mut self, id: TensorId, home: KpuHome) -> Result<ValueId, Problem> {
        let shape = self.shape(id)?;
        let Some(producer) = home.producer else {
            // A concatenation of images: no layer wrote the whole, so the CPU joins the parts' bytes.
            let graph = self.graph;
            let at = graph.producer(id).expect("inputs and uploads have their bytes");
            let parts = graph.nodes[at].inputs.iter().map(|&p| self.byte(p)).collect::<Result<Vec<_>, _>>()?;
            return Ok(self.push(StepOp::Concat { axis: 1 }, parts, Dtype::U8, shape, Some(id)));
        };
        let step = &self.program.steps[producer];
        let whole = match step.writes.get(1) {
            Some(&main) => main,
            None => {
                let image = &self.program.values[home.value];
                let (shape, tensor) = (image.shape, image.tensor);
                let main = self.program.value(Dtype::U8, shape, Place::Main, tensor);
                self.program.steps[producer].writes.push(main);
                main
            }
        };
        if home.frame.is_exact() {
            let exact = self.program.values[whole].shape == shape;
            return Ok(if exact { whole } else { self.program.alias(whole, shape, Some(id)) });
        }
        let Frame { before, inner, .. } = home.frame;
        let channels = self.program.values[whole].shape[1];
        let op = StepOp::Slice { begin: [0, 0, before[0], before[1]], strides: [1; 4] };
        let cut = self.push(op, vec![whole], Dtype::U8, [1, channels, inner[0], inner[1]], Some(id));
        Ok(if self.program.values[cut].shape == shape { cut } else { self.program.alias(cut, shape, Some(id)) })
    }

    /// Channels, height and width of a tensor as the KPU sees it; a vector has one pixel.
    pub(super) fn planes(&self, id: TensorId) -> Option<(usize, [usize; 2])> {
        match *self.graph.shape(id) {
            [1, c, h, w] => Some((c, [h, w])),
            [1, c] => Some((c, [1, 1])),
            _ => None,
        }
    }

    /// A tensor as an image in KPU RAM in the given frame.
    pub(super) fn in_kpu(&mut self, id: TensorId, frame: Frame) -> Result<ValueId, Problem> {
        if let Some(home) = self.homes[id].kpu
            && home.frame == frame
            && !self.spilled.contains(&id)
        {
            return Ok(home.value);
        }
        let bytes = self.byte(id)?;
        let (channels, inner) = self.planes(id).ok_or_else(|| self.problem("not an image", ""))?;
        let mut source = self.program.alias(bytes, [1, channels, inner[0], inner[1]], Some(id));
        if !frame.is_exact() {
            let pad = |axis: usize| {
                (frame.before[axis], frame.size[axis] - frame.before[axis] - frame.inner[axis])
            };
            let value = f32::from(self.q(id).zero_byte());
            let op = StepOp::Pad { pads: [(0, 0), (0, 0), pad(0), pad(1)], value };
            source = self.push(op, vec![source], Dtype::U8, [1, channels, frame.size[0], frame.size[1]], Some(id));
        } else if self.program.values[bytes].shape == self.program.values[source].shape {
            source = bytes;
        }
        let image = self.image(Some(id), ImageShape::new(channels, frame.size[0], frame.size[1]));
        self.step(StepOp::Upload, vec![source], vec![image]);
        if self.homes[id].kpu.is_none() && !self.spilled.contains(&id) {
            self.homes[id].kpu = Some(KpuHome { value: image, frame, producer: None });
        }
        Ok(image)
    }

    /// Adds a KPU layer and returns its image and step.
    pub(super) fn kpu_layer(&mut self, layer: KpuLayer, source: ValueId, channels: usize, tensor: Option<TensorId>) -> (ValueId, usize) {
        let stride = layer.pool.stride();
        let [_, _, h, w] = self.program.values[source].shape;
        let image = self.image(tensor, ImageShape::new(channels, h / stride, w / stride));
        let step = self.step(StepOp::Kpu(Box::new(layer)), vec![source], vec![image]);
        (image, step)
    }

    /// Joins images by their place in KPU RAM. Parts that do not lie in place yet are uploaded.
    pub(super) fn concat_in_kpu(&mut self, inputs: &[TensorId], output: TensorId) -> Result<bool, Problem> {
        let placed = inputs.iter().all(|id| self.placements.parts.get(id).is_some_and(|p| p.0 == output));
        if !placed {
            return Ok(false);
        }
        for &id in inputs {
            let (_, inner) = self.planes(id).ok_or_else(|| self.problem("not an image", ""))?;
            let whole = self.placements.images.get(&output).copied();
            let in_place = self.homes[id].kpu.is_some_and(|home| {
                home.frame.is_exact() && whole.is_some_and(|w| self.program.root(home.value).0 == w)
            });
            if !in_place {
                self.homes[id].kpu.take_if(|home| home.producer.is_none());
                let bytes = self.byte(id)?;
                let (channels, _) = self.planes(id).ok_or_else(|| self.problem("not an image", ""))?;
                let image = self.image(Some(id), ImageShape::new(channels, inner[0], inner[1]));
                self.step(StepOp::Upload, vec![bytes], vec![image]);
            }
        }
        let Some(&value) = self.placements.images.get(&output) else { return Ok(false) };
        let (_, inner) = self.planes(output).ok_or_else(|| self.problem("not an image", ""))?;
        self.homes[output].kpu = Some(KpuHome { value, frame: Frame::exact(inner), producer: None });
        Ok(true)
    }
}

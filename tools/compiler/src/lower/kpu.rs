//! Images in KPU RAM: how tensors get there, where they lie, how they come back.

use std::collections::{HashMap, HashSet};

use maix_kpu::{
    kpu::memory::{KPU_RAM_ROWS, RowLayout, rows},
    tensor::{Dtype, ImageShape},
};

use super::{Frame, KpuHome, Lowering};
use crate::{
    graph::{Op, TensorId},
    problem::Problem,
    program::{KpuLayer, Place, StepOp, ValueId},
    quantize::QParam,
};

/// Tensors that become parts of a concatenated image.
#[derive(Default)]
pub struct Placements {
    /// Concatenations that are images in KPU RAM.
    wholes: HashSet<TensorId>,
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
            if !matches!(node.op, Op::Concat { axis: 1 })
                || !fits
                || h < 4
                || w < 4
                || channels > 1024
            {
                continue;
            }
            let feeds_kpu = graph.nodes.iter().any(|n| {
                n.inputs.contains(&node.output)
                    && matches!(n.op, Op::Conv2d(_) | Op::Map(_) | Op::Pool(_))
            });
            let firsts: Vec<usize> = node
                .inputs
                .iter()
                .scan(0, |next, &id| {
                    *next += graph.shape(id)[1];
                    Some(*next - graph.shape(id)[1])
                })
                .collect();
            if !feeds_kpu || firsts.iter().any(|first| !first.is_multiple_of(group)) {
                continue;
            }
            found.wholes.insert(node.output);
            for (&id, first) in node.inputs.iter().zip(firsts) {
                let same = lowering.q(id) == lowering.q(node.output);
                let computed = graph.tensors[id].data.is_none() && !graph.inputs.contains(&id);
                if same && computed {
                    found.parts.entry(id).or_insert((node.output, first));
                }
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
        if let Some(id) = tensor
            && let Some(&(whole, first)) = self.placements.parts.get(&id)
            && let &[_, channels, h, w] = self.graph.shape(whole)
            && (h, w) == (image.height, image.width)
            && !self.homes[id].kpu.is_some_and(|home| home.frame.is_exact())
        {
            let parent = match self.placements.images.get(&whole) {
                Some(&parent) => parent,
                None => {
                    // The whole may be a part of a still larger image.
                    let parent = self.image(Some(whole), ImageShape::new(channels, h, w));
                    self.placements.images.insert(whole, parent);
                    parent
                }
            };
            return self.part_of(parent, id, image, first);
        }
        self.program.value(Dtype::U8, shape, Place::Kpu, tensor)
    }

    /// The bytes of a tensor, cut out of its image.
    pub(super) fn download(&mut self, id: TensorId, home: KpuHome) -> Result<ValueId, Problem> {
        let shape = self.shape(id)?;
        let Some(producer) = home.producer else {
            // A concatenation of images: no layer wrote the whole, so the CPU joins the parts' bytes.
            let graph = self.graph;
            let at = graph.producer(id).expect("inputs and uploads have their bytes");
            let q = self.q(id);
            let parts = graph.nodes[at]
                .inputs
                .iter()
                .map(|&p| self.bytes_as(p, q))
                .collect::<Result<Vec<_>, _>>()?;
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
        let cut =
            self.push(op, vec![whole], Dtype::U8, [1, channels, inner[0], inner[1]], Some(id));
        Ok(if self.program.values[cut].shape == shape {
            cut
        } else {
            self.program.alias(cut, shape, Some(id))
        })
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
        let planes = [1, channels, inner[0], inner[1]];
        let mut source = bytes;
        if self.program.values[bytes].shape != planes {
            source = self.program.alias(bytes, planes, Some(id));
        }
        if !frame.is_exact() {
            let pad = |axis: usize| {
                (frame.before[axis], frame.size[axis] - frame.before[axis] - frame.inner[axis])
            };
            let value = f32::from(self.q(id).zero_byte());
            let op = StepOp::Pad { pads: [(0, 0), (0, 0), pad(0), pad(1)], value };
            source = self.push(
                op,
                vec![source],
                Dtype::U8,
                [1, channels, frame.size[0], frame.size[1]],
                Some(id),
            );
        }
        let image = self.image(Some(id), ImageShape::new(channels, frame.size[0], frame.size[1]));
        self.step(StepOp::Upload, vec![source], vec![image]);
        if self.homes[id].kpu.is_none() && !self.spilled.contains(&id) {
            self.homes[id].kpu = Some(KpuHome { value: image, frame, producer: None });
        }
        Ok(image)
    }

    /// Adds a KPU layer and returns its image and step.
    pub(super) fn kpu_layer(
        &mut self,
        layer: KpuLayer,
        source: ValueId,
        channels: usize,
        tensor: Option<TensorId>,
    ) -> (ValueId, usize) {
        let stride = layer.pool.stride();
        let [_, _, h, w] = self.program.values[source].shape;
        let image = self.image(tensor, ImageShape::new(channels, h / stride, w / stride));
        let step = self.step(StepOp::Kpu(Box::new(layer)), vec![source], vec![image]);
        (image, step)
    }

    /// Joins images by their place in KPU RAM. Parts that do not lie in place yet are copied there.
    pub(super) fn concat_in_kpu(
        &mut self,
        inputs: &[TensorId],
        output: TensorId,
    ) -> Result<bool, Problem> {
        if !self.placements.wholes.contains(&output) {
            return Ok(false);
        }
        let &[_, channels, h, w] = self.graph.shape(output) else { return Ok(false) };
        let whole = match self.placements.images.get(&output) {
            Some(&whole) => whole,
            None => {
                let whole = self.image(Some(output), ImageShape::new(channels, h, w));
                self.placements.images.insert(output, whole);
                whole
            }
        };
        let mut first = 0;
        for &id in inputs {
            let count = self.graph.shape(id)[1];
            let in_place = self.placements.parts.get(&id) == Some(&(output, first))
                && self.homes[id].kpu.is_some_and(|home| {
                    home.frame.is_exact()
                        && self.program.values[home.value].within.is_some_and(|p| p.0 == whole)
                });
            if !in_place {
                let image = self.part_of(whole, id, ImageShape::new(count, h, w), first);
                self.copy(id, self.q(output), image)?;
            }
            first += count;
        }
        self.homes[output].kpu =
            Some(KpuHome { value: whole, frame: Frame::exact([h, w]), producer: None });
        Ok(true)
    }

    /// Copies a tensor into an image, with other parameters for its bytes.
    fn copy(&mut self, id: TensorId, q: QParam, image: ValueId) -> Result<usize, Problem> {
        let (_, inner) = self.planes(id).ok_or_else(|| self.problem("not an image", ""))?;
        let source = self.in_kpu(id, Frame::exact(inner))?;
        let layer = self.identity(id, q);
        Ok(self.step(StepOp::Kpu(Box::new(layer)), vec![source], vec![image]))
    }

    /// The bytes of a tensor with other parameters.
    pub(super) fn bytes_as(&mut self, id: TensorId, q: QParam) -> Result<ValueId, Problem> {
        if self.q(id) == q {
            return self.byte(id);
        }
        let shape = self.shape(id)?;
        if let Some((channels, [h, w])) = self.planes(id)
            && h >= 4
            && w >= 4
            && self.graph.tensors[id].data.is_none()
        {
            let planes = [1, channels, h, w];
            let image = self.program.value(Dtype::U8, planes, Place::Kpu, None);
            let step = self.copy(id, q, image)?;
            let main = self.program.value(Dtype::U8, planes, Place::Main, None);
            self.program.steps[step].writes.push(main);
            return Ok(main);
        }
        let float = self.float(id)?;
        Ok(self.push(StepOp::Quantize(q), vec![float], Dtype::U8, shape, None))
    }

    /// The part of a larger image that begins at channel `first`.
    fn part_of(
        &mut self,
        whole: ValueId,
        id: TensorId,
        image: ImageShape,
        first: usize,
    ) -> ValueId {
        let shape = [1, image.channels, image.height, image.width];
        let value = self.program.value(Dtype::U8, shape, Place::Kpu, Some(id));
        let before = ImageShape::new(first, image.height, image.width);
        self.program.values[value].within =
            Some((whole, if first == 0 { 0 } else { rows(before) }));
        value
    }
}

//! Images in KPU RAM: how tensors get there, where they lie, how they come back.

use maix_kpu::tensor::{Dtype, ImageShape};

use super::{Frame, KpuHome, Lowering};
use crate::{
    expr::Expr,
    graph::TensorId,
    options::TABLE_LOOKUP,
    problem::Problem,
    program::{KpuLayer, Place, StepOp, ValueId},
    quantize::QParam,
};

impl<'g> Lowering<'g> {
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

    /// Copies a tensor into an image, with other parameters for its bytes.
    pub(super) fn copy(
        &mut self,
        id: TensorId,
        frame: Frame,
        q: QParam,
        image: ValueId,
    ) -> Result<usize, Problem> {
        let source = self.in_kpu(id, frame)?;
        let layer = self.identity(id, q);
        Ok(self.step(StepOp::Kpu(Box::new(layer)), vec![source], vec![image]))
    }

    /// The bytes of a tensor with other parameters.
    pub(super) fn bytes_as(&mut self, id: TensorId, q: QParam) -> Result<ValueId, Problem> {
        if self.q(id) == q {
            return self.byte(id);
        }
        if let (Some(bytes), true) = (self.homes[id].byte, self.options.allows(TABLE_LOOKUP)) {
            return Ok(self.lookup(bytes, id, &Expr::X, q, None));
        }
        let shape = self.shape(id)?;
        if let Some((channels, [h, w])) = self.planes(id)
            && h >= 4
            && w >= 4
            && self.graph.tensors[id].data.is_none()
        {
            let planes = [1, channels, h, w];
            let image = self.program.value(Dtype::U8, planes, Place::Kpu, None);
            let step = self.copy(id, Frame::exact([h, w]), q, image)?;
            let main = self.program.value(Dtype::U8, planes, Place::Main, None);
            self.program.steps[step].writes.push(main);
            return Ok(main);
        }
        let float = self.float(id)?;
        Ok(self.push(StepOp::Quantize(q), vec![float], Dtype::U8, shape, None))
    }
}

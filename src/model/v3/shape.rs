//! The shapes of outputs, which kmodel v3 does not store: found by following the layers back.

use super::{
    Input, Model, OutputRange,
    layer::{Operator, Output},
};
use crate::{
    error::{Error, Kind, Result, What},
    model::{Place, Tensor, source::Source},
    tensor::{Dtype, ImageShape, Shape, elements},
};

impl Model {
    /// The input.
    pub fn input_tensor(&self, source: &dyn Source, index: u32) -> Result<Tensor> {
        if index > 0 {
            return Err(Error::about(Kind::InputCount, What::Nothing, [index.into(), 1]));
        }
        Ok(match self.input(source)? {
            Input::Image { row, shape } => {
                Tensor { place: Place::Kpu(row), dtype: Dtype::U8, shape: image(shape) }
            }
            Input::Vector { address, elements } => flat(address as usize, Dtype::F32, elements),
        })
    }

    /// An output; flat data is (1, n, 1, 1).
    pub fn output_tensor(&self, source: &dyn Source, index: u32) -> Result<Tensor> {
        let OutputRange { address, size } = self.output(source, index)?;
        let layers = self.header.layers;
        let dtype = match self.writer(source, address, layers)? {
            Some((operator, _)) => output_dtype(&operator),
            None => Dtype::U8,
        };
        let n = size as usize / dtype.size();
        self.tensor(source, address, dtype, n, layers)
    }

    /// What a layer writes.
    pub fn layer_tensor(
        &self,
        source: &dyn Source,
        index: u32,
        operator: &Operator,
    ) -> Result<Tensor> {
        match operator.output() {
            Output::Kpu { row, shape } => {
                Ok(Tensor { place: Place::Kpu(row), dtype: Dtype::U8, shape: image(shape) })
            }
            Output::Main { address, dtype, elements } => {
                self.tensor(source, address, dtype, elements, index.saturating_add(1))
            }
        }
    }

    /// `n` elements at an address of main memory, with the shape that layers before `before` tell.
    fn tensor(
        &self,
        source: &dyn Source,
        address: u32,
        dtype: Dtype,
        n: usize,
        before: u32,
    ) -> Result<Tensor> {
        let tensor = flat(address as usize, dtype, n);
        let shape = self.shape_at(source, address, before)?;
        Ok(match shape.filter(|shape| elements(shape) == Some(n)) {
            Some(shape) => Tensor { shape, ..tensor },
            None => tensor,
        })
    }

    /// The last layer before `before` that writes at `address`, and its index.
    fn writer(
        &self,
        source: &dyn Source,
        address: u32,
        before: u32,
    ) -> Result<Option<(Operator, u32)>> {
        let mut writer = None;
        for layer in self.nodes(source).take(before as usize) {
            let layer = layer?;
            if matches!(layer.operator.output(), Output::Main { address: a, .. } if a == address) {
                writer = Some((layer.operator, layer.index));
            }
        }
        Ok(writer)
    }

    fn shape_at(
        &self,
        source: &dyn Source,
        mut address: u32,
        mut before: u32,
    ) -> Result<Option<Shape>> {
        while let Some((operator, index)) = self.writer(source, address, before)? {
            before = index;
            address = match operator {
                Operator::Add(b) => b.a,
                Operator::QuantizedAdd(b) => b.a,
                Operator::Quantize(b) | Operator::Dequantize(b) => b.input,
                Operator::Requantize(b, _) => b.input,
                Operator::L2Normalize(b) | Operator::Softmax(b) | Operator::Logistic(b) => b.input,
                Operator::ChannelwiseDequantize(b, _) => b.input,
                Operator::Conv(b) => return Ok(Some(image(b.layer.output))),
                Operator::QuantizedMaxPool(b) | Operator::AveragePool(b) => {
                    return Ok(Some(image(b.output_size.shape())));
                }
                Operator::ResizeNearest(b) | Operator::QuantizedResizeNearest(b) => {
                    return Ok(Some(image(b.output_shape())));
                }
                _ => return Ok(None),
            };
        }
        Ok(None)
    }
}

fn output_dtype(operator: &Operator) -> Dtype {
    match operator.output() {
        Output::Main { dtype, .. } => dtype,
        Output::Kpu { .. } => Dtype::U8,
    }
}

fn image(shape: ImageShape) -> Shape {
    [1, shape.channels, shape.height, shape.width]
}

fn flat(address: usize, dtype: Dtype, n: usize) -> Tensor {
    Tensor { place: Place::Main(address), dtype, shape: [1, n, 1, 1] }
}

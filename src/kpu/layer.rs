//! A KPU layer: the twelve 64-bit words that describe it to the hardware (docs/formats.md, KPU layer).

use crate::{
    error::{Error, Kind, Result, What},
    kpu::memory::{self, RowLayout},
    tensor::ImageShape,
};

/// Bytes of an activation table: 16 segments of 8 bytes and their 16 biases.
pub const ACTIVATION_BYTES: usize = 144;

/// The words of a layer.
pub type Words = [u64; 12];

/// Size of the convolution's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// 1x1, no padding.
    K1x1,
    /// 3x3, one pixel of padding on every side.
    K3x3,
}

impl Kernel {
    /// Width and height.
    pub const fn size(self) -> usize {
        match self {
            Kernel::K1x1 => 1,
            Kernel::K3x3 => 3,
        }
    }

    /// Taps of one input channel.
    pub const fn area(self) -> usize {
        self.size() * self.size()
    }
}

/// What follows the activation; the output has `floor(input / stride)` lines and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// No pooling.
    None,
    /// Largest of 2x2.
    Max2,
    /// Mean of 2x2.
    Mean2,
    /// Largest of 4x4.
    Max4,
    /// Mean of 4x4.
    Mean4,
    /// Pixel (0, 0) of every 2x2.
    LeftTop2,
    /// Pixel (0, 1), the right one of the upper line, of every 2x2.
    RightTop2,
    /// Pixel (0, 0) of every 4x4.
    LeftTop4,
    /// Mean of 2x2 around every pixel, the border repeated.
    Mean2Stride1,
    /// Largest of 2x2 around every pixel, 0 beyond the border.
    Max2Stride1,
}

impl Pool {
    /// All pools; the index is the code.
    pub const ALL: [Pool; 10] = [
        Pool::None,
        Pool::Max2,
        Pool::Mean2,
        Pool::Max4,
        Pool::Mean4,
        Pool::LeftTop2,
        Pool::RightTop2,
        Pool::LeftTop4,
        Pool::Mean2Stride1,
        Pool::Max2Stride1,
    ];

    /// Width and height of the window.
    pub const fn window(self) -> usize {
        match self {
            Pool::None => 1,
            Pool::Max4 | Pool::Mean4 | Pool::LeftTop4 => 4,
            _ => 2,
        }
    }

    /// Pixels between two windows.
    pub const fn stride(self) -> usize {
        match self {
            Pool::Mean2Stride1 | Pool::Max2Stride1 => 1,
            _ => self.window(),
        }
    }

    /// A short name with window and stride, such as `max 2x2/2`.
    pub const fn name(self) -> &'static str {
        match self {
            Pool::None => "none",
            Pool::Max2 => "max 2x2/2",
            Pool::Mean2 => "mean 2x2/2",
            Pool::Max4 => "max 4x4/4",
            Pool::Mean4 => "mean 4x4/4",
            Pool::LeftTop2 => "left-top 2x2/2",
            Pool::RightTop2 => "right-top 2x2/2",
            Pool::LeftTop4 => "left-top 4x4/4",
            Pool::Mean2Stride1 => "mean 2x2/1",
            Pool::Max2Stride1 => "max 2x2/1",
        }
    }

    /// The size that pooling makes of `plane` = (height, width).
    const fn output(self, input: ImageShape, channels: usize) -> ImageShape {
        let stride = self.stride();
        ImageShape::new(channels, input.height / stride, input.width / stride)
    }
}

/// A layer's fields. What the hardware also wants and these decide is made by [`Layer::encode`].
///
/// [`Layer::decode`] and [`Layer::new`] give only layers that pass [`Layer::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Output channel c reads input channel c only.
    pub depthwise: bool,
    /// First KPU RAM row of the input image.
    pub src_row: usize,
    /// First KPU RAM row of the output image.
    pub dst_row: usize,
    /// The input image.
    pub input: ImageShape,
    /// The output image, after pooling.
    pub output: ImageShape,
    /// Size of the kernel.
    pub kernel: Kernel,
    /// The pool behind the activation.
    pub pool: Pool,
    /// What the pixels outside the image are for a 3x3 kernel.
    pub pad_value: u8,
    /// Output channels whose weights are loaded at once.
    pub out_ch_per_load: usize,
    /// Bytes of one weight load.
    pub para_size: usize,
    /// Right shift of the sum of weights, 0..=15.
    pub shr_w: u32,
    /// Right shift of the sum of pixels, 0..=15.
    pub shr_x: u32,
    /// Factor of the sum of weights, 24 bits.
    pub arg_w: i32,
    /// Factor of the sum of pixels, 24 bits.
    pub arg_x: i32,
    /// Added once for every input channel, 40 bits.
    pub arg_add: i64,
    /// The result is also streamed to the DMA.
    pub send_out: bool,
    /// The KPU raises its interrupt behind this layer.
    pub int_en: bool,
    /// Address of the batch norm array (in a kmodel v4: bytes of the gap before it).
    pub bn_addr: u32,
    /// Address of the weights (in a kmodel v4: bytes of the gap before them).
    pub weight_addr: u32,
    /// Address of the activation table (in a kmodel v4: bytes of the gap before it).
    pub act_addr: u32,
}

impl Layer {
    /// A layer of `out_channels` over `input`, which loads as many weights at once as the KPU can
    /// hold; rows, arguments and addresses are 0.
    pub fn new(
        input: ImageShape,
        out_channels: usize,
        kernel: Kernel,
        depthwise: bool,
        pool: Pool,
        eight_bit: bool,
    ) -> Result<Self> {
        let mut layer = Self {
            depthwise,
            src_row: 0,
            dst_row: 0,
            input,
            output: pool.output(input, out_channels),
            kernel,
            pool,
            pad_value: 0,
            out_ch_per_load: 1,
            para_size: 0,
            shr_w: 0,
            shr_x: 0,
            arg_w: 0,
            arg_x: 0,
            arg_add: 0,
            send_out: false,
            int_en: false,
            bn_addr: 0,
            weight_addr: 0,
            act_addr: 0,
        };
        let weight_bytes = if eight_bit { 1 } else { 2 };
        let per_channel = layer.taps().saturating_mul(weight_bytes).max(1);
        layer.out_ch_per_load =
            (LOAD_LIMIT * weight_bytes / per_channel).clamp(1, out_channels.max(1));
        layer.para_size = layer.out_ch_per_load.saturating_mul(per_channel);
        layer.check()?;
        Ok(layer)
    }

    /// Reads the words; everything that the fields of [`Layer`] do not hold must be as
    /// [`Layer::encode`] makes it.
    pub fn decode(words: &Words) -> Result<Self> {
        Self::check_words(words)?;
        Ok(Self::of(words))
    }

    /// An error if [`Layer::decode`] does not accept the words.
    #[inline(never)]
    pub(crate) fn check_words(words: &Words) -> Result<()> {
        let values = Values::of(words);
        for (field, count) in [(Field::Kernel, 2), (Field::Pool, Pool::ALL.len() as u64)] {
            if values.get(field) >= count {
                return Err(values.error(field as usize));
            }
        }
        let layer = Self::with(&values);
        layer.check()?;
        let expected = layer.encode();
        if expected == *words {
            return Ok(());
        }
        let pairs = values.0.iter().zip(Values::of(&expected).0);
        Err(match pairs.into_iter().position(|(&value, expected)| value != expected) {
            Some(index) => values.error(index),
            None => {
                let bits = words.iter().zip(&expected).find(|(w, e)| w != e);
                let value = bits.map_or(0, |(w, e)| w ^ e);
                Error::about(Kind::Field, What::ReservedBitsOfTheKpuLayer, [value, 0])
            }
        })
    }

    /// The fields of words that [`Layer::decode`] accepts.
    pub(crate) fn of(words: &Words) -> Self {
        Self::with(&Values::of(words))
    }

    #[inline(never)]
    fn with(values: &Values) -> Self {
        let get = |field| values.get(field);
        let size = |field| get(field) as usize + 1;
        Self {
            depthwise: get(Field::DepthWise) != 0,
            src_row: get(Field::SrcRow) as usize,
            dst_row: get(Field::DstRow) as usize,
            input: ImageShape::new(size(Field::InCh), size(Field::InH), size(Field::InW)),
            output: ImageShape::new(size(Field::OutCh), size(Field::OutH), size(Field::OutW)),
            kernel: if get(Field::Kernel) == 0 { Kernel::K1x1 } else { Kernel::K3x3 },
            pool: Pool::ALL.get(get(Field::Pool) as usize).copied().unwrap_or(Pool::None),
            pad_value: get(Field::PadValue) as u8,
            out_ch_per_load: size(Field::OutChPerLoad),
            para_size: get(Field::ParaSize) as usize,
            shr_w: get(Field::ShrW) as u32,
            shr_x: get(Field::ShrX) as u32,
            arg_w: sign_extend(get(Field::ArgW), 24) as i32,
            arg_x: sign_extend(get(Field::ArgX), 24) as i32,
            arg_add: sign_extend(get(Field::ArgAdd), 40),
            send_out: get(Field::SendOut) != 0,
            int_en: get(Field::IntEn) != 0,
            bn_addr: get(Field::BnAddr) as u32,
            weight_addr: get(Field::WeightAddr) as u32,
            act_addr: get(Field::ActAddr) as u32,
        }
    }

    /// The words for the hardware.
    #[inline(never)]
    pub fn encode(&self) -> Words {
        let (input, output) = (self.input, self.output);
        let (in_rows, out_rows) = (RowLayout::of(input.width), RowLayout::of(output.width));
        let mut values = Values([0; PLACES.len()]);
        let mut set = |field: Field, value: usize| values.0[field as usize] = value as u64;
        set(Field::IntEn, self.int_en.into());
        set(Field::DepthWise, self.depthwise.into());
        set(Field::SrcRow, self.src_row);
        set(Field::DstRow, self.dst_row);
        set(Field::InCh, input.channels.wrapping_sub(1));
        set(Field::OutCh, output.channels.wrapping_sub(1));
        set(Field::OutChPerLoad, self.out_ch_per_load.wrapping_sub(1));
        set(Field::InW, input.width.wrapping_sub(1));
        set(Field::InH, input.height.wrapping_sub(1));
        set(Field::OutW, output.width.wrapping_sub(1));
        set(Field::OutH, output.height.wrapping_sub(1));
        set(Field::Kernel, (self.kernel == Kernel::K3x3).into());
        set(Field::Pool, self.pool as usize);
        set(Field::LoadPara, 1);
        set(Field::DmaBurst, 15);
        set(Field::PadValue, self.pad_value.into());
        set(Field::BnAddr, self.bn_addr as usize);
        set(Field::LoadCoor, 1);
        set(Field::LoadTime, self.loads().wrapping_sub(1));
        set(Field::ParaSize, self.para_size);
        set(Field::WeightAddr, self.weight_addr as usize);
        set(Field::InChannelRows, in_rows.line_rows * input.height);
        set(Field::InLineRows, in_rows.line_rows);
        set(Field::InGroup, in_rows.group);
        set(Field::LoadAct, 1);
        set(Field::ActAddr, self.act_addr as usize);
        set(Field::OutChannelRows, out_rows.line_rows * output.height);
        set(Field::OutLineRows, out_rows.line_rows);
        set(Field::OutGroup, out_rows.group);
        set(Field::ShrW, self.shr_w as usize);
        set(Field::ShrX, self.shr_x as usize);
        set(Field::ArgW, self.arg_w as usize);
        set(Field::ArgX, self.arg_x as usize);
        set(Field::SendOut, self.send_out.into());
        set(Field::ChannelBytes, output.plane().wrapping_sub(1));
        set(Field::TotalBytes, output.elements().wrapping_sub(1));
        values.0[Field::ArgAdd as usize] = self.arg_add as u64;
        values.words()
    }

    /// An error if a field is too large for its place in the words, fields contradict each other
    /// or an image leaves KPU RAM.
    pub fn check(&self) -> Result<()> {
        let possible = |what, value: usize, possible: bool| match possible {
            true => Ok(()),
            false => Err(Error::about(Kind::Field, what, [value as u64, 0])),
        };
        let (input, output) = (self.input, self.output);
        possible(What::InCh, input.channels, (1..=1024).contains(&input.channels))?;
        possible(What::InH, input.height, (1..=512).contains(&input.height))?;
        possible(What::InW, input.width, (1..=MAX_WIDTH).contains(&input.width))?;
        possible(What::OutCh, output.channels, (1..=1024).contains(&output.channels))?;
        let expected = self.pool.output(input, output.channels);
        possible(What::OutH, output.height, output.height == expected.height && output.height > 0)?;
        possible(What::OutW, output.width, output.width == expected.width && output.width > 0)?;
        let same_channels = input.channels == output.channels;
        possible(What::OutChOfADepthwiseLayer, output.channels, !self.depthwise || same_channels)?;
        let per_load = self.out_ch_per_load;
        possible(What::OutChPerLoad, per_load, (1..=output.channels).contains(&per_load))?;
        possible(What::LoadTime, self.loads(), self.loads() <= MAX_LOADS)?;
        let load = per_load * self.taps();
        let load_fits =
            self.para_size < 1 << 17 && (self.para_size == load || self.para_size == 2 * load);
        possible(What::ParaSize, self.para_size, load_fits)?;
        possible(What::ShrW, self.shr_w as usize, self.shr_w < 16)?;
        possible(What::ShrX, self.shr_x as usize, self.shr_x < 16)?;
        let fits = |value: i64, bits| sign_extend(value as u64, bits) == value;
        possible(What::ArgW, self.arg_w as usize, fits(self.arg_w.into(), 24))?;
        possible(What::ArgX, self.arg_x as usize, fits(self.arg_x.into(), 24))?;
        possible(What::ArgAdd, self.arg_add as usize, fits(self.arg_add, 40))?;
        memory::check_range(What::InputOfTheKpuLayer, self.src_row, input)?;
        memory::check_range(What::OutputOfTheKpuLayer, self.dst_row, output)?;
        Ok(())
    }

    /// Multiplications of one output pixel.
    pub const fn taps(&self) -> usize {
        let channels = if self.depthwise { 1 } else { self.input.channels };
        channels.wrapping_mul(self.kernel.area())
    }

    /// How often weights are loaded.
    pub const fn loads(&self) -> usize {
        match self.out_ch_per_load {
            0 => 0,
            per_load => self.output.channels.div_ceil(per_load),
        }
    }

    /// Bytes of all weights.
    pub const fn weights_bytes(&self, eight_bit: bool) -> usize {
        let weight_bytes = if eight_bit { 1 } else { 2 };
        self.output.channels.wrapping_mul(self.taps()).wrapping_mul(weight_bytes)
    }

    /// Bytes of the batch norm array.
    pub const fn batch_norm_bytes(&self) -> usize {
        self.output.channels.wrapping_mul(8)
    }

    /// Multiplications that the KPU executes: at every input position, pooled away or not.
    pub const fn macs(&self) -> u64 {
        (self.output.channels as u64)
            .saturating_mul(self.taps() as u64)
            .saturating_mul(self.input.plane() as u64)
    }
}

/// Bytes of weights that the KPU holds at once, with 8-bit weights; twice that with 16-bit weights.
const LOAD_LIMIT: usize = 30 * 1024;
/// How often a layer can load weights.
const MAX_LOADS: usize = 64;

/// Most output channels of a layer with `taps` 8-bit weights for each of them.
pub const fn most_out_channels(taps: usize) -> usize {
    MAX_LOADS * (LOAD_LIMIT / taps)
}
/// `in_line_rows` has four bits, so that a line has at most 15 rows.
const MAX_WIDTH: usize = 15 * memory::ROW_BYTES;

/// Where a field stands in the words.
struct Place {
    name: What,
    word: u8,
    low: u8,
    bits: u8,
}

impl Place {
    const fn mask(&self) -> u64 {
        (1 << self.bits) - 1
    }
}

/// The values of all fields, in the order of [`PLACES`].
struct Values([u64; PLACES.len()]);

impl Values {
    #[inline(never)]
    fn of(words: &Words) -> Self {
        Self(PLACES.each_ref().map(|place| {
            let word = words.get(usize::from(place.word)).copied().unwrap_or(0);
            word >> place.low & place.mask()
        }))
    }

    fn words(&self) -> Words {
        let mut words = [0; 12];
        for (place, value) in PLACES.iter().zip(self.0) {
            if let Some(word) = words.get_mut(usize::from(place.word)) {
                *word |= (value & place.mask()) << place.low;
            }
        }
        words
    }

    fn get(&self, field: Field) -> u64 {
        self.0[field as usize]
    }

    fn error(&self, index: usize) -> Error {
        let value = self.0.get(index).copied().unwrap_or(0);
        let name = PLACES.get(index).map_or(What::Nothing, |place| place.name);
        Error::about(Kind::Field, name, [value, 0])
    }
}

macro_rules! fields {
    ($($name:ident $word:literal: $low:literal, $bits:literal;)*) => {
        #[derive(Clone, Copy)]
        #[allow(dead_code)] // some are always 0
        enum Field { $($name,)* }

        static PLACES: [Place; [$($low,)*].len()] =
            [$(Place { name: What::$name, word: $word, low: $low, bits: $bits },)*];
    };
}

// Name in the words, word: lowest bit, bits. Sizes and counts are stored minus one.
fields! {
    IntEn 0: 0, 1;
    RamFlag 0: 1, 1;
    FullAdd 0: 2, 1;
    DepthWise 0: 3, 1;
    SrcRow 1: 0, 15;
    DstRow 1: 32, 15;
    InCh 2: 0, 10;
    OutCh 2: 32, 10;
    OutChPerLoad 2: 48, 10;
    InW 3: 0, 10;
    InH 3: 10, 9;
    OutW 3: 32, 10;
    OutH 3: 42, 9;
    Kernel 4: 0, 3;
    PadType 4: 3, 1;
    Pool 4: 4, 4;
    FirstStride 4: 8, 1;
    BypassConv 4: 9, 1;
    LoadPara 4: 10, 1;
    DmaBurst 4: 16, 8;
    PadValue 4: 24, 8;
    BnAddr 4: 32, 32;
    LoadCoor 5: 0, 1;
    LoadTime 5: 1, 6;
    ParaSize 5: 15, 17;
    WeightAddr 5: 32, 32;
    CoefColumnOffset 6: 0, 4;
    CoefRowOffset 6: 4, 12;
    InChannelRows 7: 0, 15;
    InLineRows 7: 16, 4;
    CoefSize 7: 20, 8;
    InGroup 7: 28, 3;
    LoadAct 7: 31, 1;
    ActAddr 7: 32, 32;
    OutChannelRows 8: 0, 15;
    OutLineRows 8: 16, 4;
    OutGroup 8: 20, 3;
    ShrW 9: 0, 4;
    ShrX 9: 4, 4;
    ArgW 9: 8, 24;
    ArgX 9: 32, 24;
    ArgAdd 10: 0, 40;
    SendOut 11: 0, 1;
    ChannelBytes 11: 16, 16;
    TotalBytes 11: 32, 32;
}

/// The lowest `bits` bits of `value` as a signed number.
pub(crate) const fn sign_extend(value: u64, bits: u32) -> i64 {
    ((value << (64 - bits)) as i64) >> (64 - bits)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A 3x3 depthwise layer of a real model: 16 channels, 120x160, no pool.
    const WORDS: Words = [
        0x0000000000000008,
        0x000044f000005b70,
        0x000f000f0000000f,
        0x0001dc9f0001dc9f,
        0x00000000000f0401,
        0x0000000000480001,
        0x0000000000000000,
        0x0000000090030168,
        0x0000000000130168,
        0x00c20000000000f0,
        0x0000000000000000,
        0x0004afff4aff0000,
    ];

    /// Any layer that the hardware's words can say, at row 0.
    pub(crate) fn any_layer() -> impl Strategy<Value = (Layer, bool)> {
        (
            (1usize..=1024, 1usize..=512, 1usize..=MAX_WIDTH, 1usize..=1024),
            (any::<bool>(), any::<bool>(), 0usize..10, any::<bool>()),
        )
            .prop_filter_map(
                "fits",
                |((ic, h, w, oc), (big, depthwise, pool, eight_bit))| {
                    let kernel = if big { Kernel::K3x3 } else { Kernel::K1x1 };
                    let oc = if depthwise { ic } else { oc };
                    let input = ImageShape::new(ic, h, w);
                    let layer =
                        Layer::new(input, oc, kernel, depthwise, Pool::ALL[pool], eight_bit);
                    layer.ok().map(|layer| (layer, eight_bit))
                },
            )
    }

    #[test]
    fn fields_of_a_real_layer() {
        let layer = Layer::decode(&WORDS).unwrap();
        let mut expected =
            Layer::new(ImageShape::new(16, 120, 160), 16, Kernel::K3x3, true, Pool::None, true)
                .unwrap();
        expected.src_row = 0x5b70;
        expected.dst_row = 0x44f0;
        expected.shr_x = 15;
        expected.arg_x = 0xc20000 - (1 << 24);
        assert_eq!(layer, expected);
        assert_eq!(layer.encode(), WORDS);
        assert_eq!(layer.macs(), 16 * 9 * 120 * 160);
        assert_eq!(layer.weights_bytes(true), 144);
        assert_eq!(layer.batch_norm_bytes(), 128);
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let error = |change: &dyn Fn(&mut Words)| {
            let mut words = WORDS;
            change(&mut words);
            let error = Layer::decode(&words).unwrap_err();
            (error.kind(), error.what(), error.values()[0])
        };
        assert_eq!(error(&|w| w[0] |= 2), (Kind::Field, "ram_flag", 1));
        assert_eq!(error(&|w| w[0] |= 4), (Kind::Field, "full_add", 1));
        assert_eq!(error(&|w| w[4] += 1), (Kind::Field, "kernel", 2));
        assert_eq!(error(&|w| w[4] |= 10 << 4), (Kind::Field, "pool", 10));
        assert_eq!(error(&|w| w[4] |= 1 << 4), (Kind::Field, "out_h", 120));
        assert_eq!(error(&|w| w[4] |= 8), (Kind::Field, "pad_type", 1));
        assert_eq!(error(&|w| w[4] |= 1 << 8), (Kind::Field, "first_stride", 1));
        assert_eq!(error(&|w| w[4] |= 1 << 9), (Kind::Field, "bypass_conv", 1));
        assert_eq!(error(&|w| w[4] ^= 1 << 10), (Kind::Field, "load_para", 0));
        assert_eq!(error(&|w| w[5] |= 2), (Kind::Field, "load_time", 1));
        assert_eq!(error(&|w| w[5] += 1 << 15), (Kind::Field, "para_size", 145));
        assert_eq!(error(&|w| w[6] |= 1), (Kind::Field, "coef_column_offset", 1));
        assert_eq!(error(&|w| w[7] += 1), (Kind::Field, "in_channel_rows", 361));
        assert_eq!(error(&|w| w[7] ^= 1 << 20), (Kind::Field, "coef_size", 1));
        assert_eq!(error(&|w| w[8] += 1 << 20), (Kind::Field, "out_group", 2));
        assert_eq!(error(&|w| w[11] += 1 << 16).1, "channel_bytes");
        assert_eq!(error(&|w| w[2] += 1), (Kind::Field, "out_ch of a depthwise layer", 16));
        assert_eq!(error(&|w| w[1] |= 1 << 20).1, "reserved bits of the KPU layer");
        assert_eq!(
            error(&|w| w[1] |= 0x7fff),
            (Kind::KpuRam, "the input of the KPU layer", (0x7fff + 5760) * 64)
        );
    }

    #[test]
    fn weights_too_large_for_64_loads_are_an_error() {
        let input = ImageShape::new(1024, 4, 4);
        let layer = |oc| Layer::new(input, oc, Kernel::K3x3, false, Pool::None, true);
        assert_eq!(layer(192).unwrap().loads(), 64);
        assert_eq!(most_out_channels(1024 * 9), 192);
        assert_eq!(layer(193).unwrap_err().what(), "load_time");
    }

    proptest! {
        #[test]
        fn decode_inverts_encode((layer, _) in any_layer(), rows: [u16; 2], args: [i32; 3]) {
            let layer = Layer {
                src_row: usize::from(rows[0] & 0x7fff),
                dst_row: usize::from(rows[1] & 0x7fff),
                arg_w: args[0] >> 8,
                arg_x: args[1] >> 8,
                arg_add: i64::from(args[2]) << 8,
                shr_w: u32::from(rows[0] >> 12),
                shr_x: u32::from(rows[1] >> 12),
                send_out: rows[0] & 1 != 0,
                int_en: rows[1] & 1 != 0,
                bn_addr: args[0] as u32,
                ..layer
            };
            match layer.check() {
                Ok(()) => prop_assert_eq!(Layer::decode(&layer.encode()), Ok(layer)),
                Err(error) => prop_assert_eq!(error.kind(), Kind::KpuRam),
            }
        }

        #[test]
        fn random_changes_decode_to_themselves_or_not_at_all(word in 0usize..12, bit in 0u32..64) {
            let mut words = WORDS;
            words[word] ^= 1 << bit;
            if let Ok(layer) = Layer::decode(&words) {
                prop_assert_eq!(layer.encode(), words);
            }
        }
    }
}

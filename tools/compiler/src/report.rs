//! What became of a model: a row for each step, and the totals that decide whether it fits.

use std::fmt;

use maix_kpu::kpu::memory::{KPU_RAM_BYTES, ROW_BYTES, rows};
use serde::Serialize;

use crate::{
    calibrate::Calibration,
    emit::Emitted,
    estimate::{self, Clocks},
    graph::Graph,
    measure::Difference,
    program::{Place, Program, StepOp},
};

/// Bytes of the chip's main memory.
pub const MAIN_MEMORY_BYTES: usize = 6 << 20;

/// What became of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the kmodel is fed with.
    pub inputs: Vec<Input>,
    /// One row a step, in the order of the kmodel's nodes.
    pub rows: Vec<Row>,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Bytes of main memory while it runs.
    pub arena_bytes: usize,
    /// Bytes of KPU RAM.
    pub kpu_ram_bytes: usize,
    /// Inputs that calibration used.
    pub calibration_inputs: usize,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// An input of the kmodel.
#[derive(Clone, Debug, Serialize)]
pub struct Input {
    /// Its name in the model file.
    pub name: String,
    /// Its shape; images are N, C, H, W.
    pub shape: Vec<usize>,
    /// What byte 0 and byte 255 stand for; absent if the kmodel takes floats.
    pub byte_range: Option<(f32, f32)>,
}

/// A step of the kmodel.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The node of the model that it is done for.
    pub node: String,
    /// The kmodel's operator.
    pub operator: &'static str,
    /// KPU or CPU.
    pub runs_on: &'static str,
    /// Shape of its first operand, N, C, H, W.
    pub input: [usize; 4],
    /// Shape of its result.
    pub output: [usize; 4],
    /// Bytes of KPU RAM of operand and result.
    pub kpu_ram_bytes: usize,
    /// Signal over error of the result in decibels, if it was measured.
    pub decibels: Option<f64>,
    /// Milliseconds on the chip, estimated.
    pub estimated_ms: f64,
}

impl Report {
    /// Puts the rows together.
    pub fn new(
        graph: &Graph,
        program: &Program,
        emitted: &Emitted,
        file_bytes: usize,
        calibration: &Calibration,
        errors: &[Option<Difference>],
        warnings: Vec<String>,
    ) -> Self {
        let times = estimate::milliseconds(program, emitted);
        let rows = program.steps.iter().zip(errors).zip(times).map(|((step, error), time)| {
            let value = |id: &usize| &program.values[*id];
            let in_kpu =
                step.reads.iter().chain(&step.writes).map(value).filter(|v| v.place == Place::Kpu);
            Row {
                node: step.node.map(|n| graph.nodes[n].name.clone()).unwrap_or_default(),
                operator: step.op.name(),
                runs_on: if matches!(step.op, StepOp::Kpu(_)) { "KPU" } else { "CPU" },
                input: value(&step.reads[0]).shape,
                output: value(&step.writes[0]).shape,
                kpu_ram_bytes: in_kpu.map(|v| rows(v.image()) * ROW_BYTES).sum(),
                decibels: error.map(|e| e.decibels()),
                estimated_ms: time,
            }
        });
        Self {
            inputs: Vec::new(),
            rows: rows.collect(),
            file_bytes,
            arena_bytes: emitted.arena,
            kpu_ram_bytes: emitted.kpu_ram,
            calibration_inputs: calibration.used,
            warnings,
        }
    }

    /// The report as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts")
    }

    /// The report as one HTML page.
    pub fn html(&self) -> String {
        let escaped = self.to_string().replace('&', "&amp;").replace('<', "&lt;");
        format!(
            "<!doctype html><meta charset=utf-8><title>kmodel compile</title><pre>{escaped}</pre>\n"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = |s: &[usize; 4]| s.map(|d| d.to_string()).join("x");
        // Where TensorFlow joins layers it joins their names, the last layer first.
        let name = |row: &Row| row.node.split(';').next().unwrap_or_default().to_string();
        let names: Vec<String> = self.rows.iter().map(name).collect();
        let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(4).clamp(4, 40);
        writeln!(
            f,
            "{:>4}  {:width$}  {:17}  {:3}  {:>16}  {:>16}  {:>9}  {:>7}  {:>6}",
            "", "node", "operator", "on", "input", "output", "KPU RAM", "dB", "time"
        )?;
        let total: f64 = self.rows.iter().map(|row| row.estimated_ms).sum();
        for (i, row) in self.rows.iter().enumerate() {
            let skipped = names[i].chars().count().saturating_sub(width);
            let node: String = names[i].chars().skip(skipped).collect();
            let decibels = row.decibels.map_or(String::new(), |d| format!("{d:.1}"));
            writeln!(
                f,
                "{i:>4}  {node:width$}  {:17}  {:3}  {:>16}  {:>16}  {:>9}  {decibels:>7}  {:>5.1}%",
                row.operator,
                row.runs_on,
                shape(&row.input),
                shape(&row.output),
                row.kpu_ram_bytes,
                100.0 * row.estimated_ms / total,
            )?;
        }
        for Input { name, shape, byte_range } in &self.inputs {
            let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
            match byte_range {
                Some((low, high)) => {
                    // 1 and not 1.0000001, 0 and not -0.
                    let [low, high] = [low, high].map(|v| (v * 1e5).round() / 1e5 + 0.0);
                    writeln!(
                        f,
                        "input {name} {shape}: byte 0 stands for {low}, byte 255 for {high}"
                    )?;
                }
                None => writeln!(f, "input {name} {shape}: floats")?,
            }
        }
        writeln!(
            f,
            "file {} bytes + working memory {} bytes = {} of {MAIN_MEMORY_BYTES} bytes of main memory, which the firmware shares",
            self.file_bytes,
            self.arena_bytes,
            self.file_bytes + self.arena_bytes,
        )?;
        let Clocks { cpu_mhz, kpu_mhz } = Clocks::USUAL;
        writeln!(f, "estimated {total:.1} ms on the chip (CPU {cpu_mhz} MHz, KPU {kpu_mhz} MHz)")?;
        writeln!(f, "KPU RAM {} of {KPU_RAM_BYTES} bytes", self.kpu_ram_bytes)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

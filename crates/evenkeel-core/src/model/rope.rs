//! Rotary positions, rotate-half convention. Source: Su et al. 2021 (RoFormer), as transformers lays it out.
//!
//! Shape letters: P positions, D head size.

use burn::tensor::{Device, Tensor, TensorData};

use super::config::{ModelConfig, RopeStretch};
use super::fields::Fields;
use crate::Result;

/// Cosines and sines of every position's angles, computed on the host in f64 once per model: what [`evenkeel_kernels::rope`] turns by. → [P, D]
pub fn turns(config: &ModelConfig, device: &Device) -> Tensor<2> {
    let frequencies = frequencies(config);
    let of_position = |position: usize| -> Vec<f32> {
        let angles = frequencies.iter().map(|frequency| position as f64 * frequency);
        angles.clone().map(f64::cos).chain(angles.map(f64::sin)).map(|turn| turn as f32).collect()
    };
    let values: Vec<f32> = (0..config.max_positions).flat_map(of_position).collect();
    Tensor::from_data(TensorData::new(values, [config.max_positions, 2 * frequencies.len()]), device)
}

/// θ^(−2i/D) for i < D/2, stretched where the model says so.
fn frequencies(config: &ModelConfig) -> Vec<f64> {
    let d = config.head_dim as f64;
    (0..config.head_dim / 2)
        .map(|i| config.rope_theta.powf(-2.0 * i as f64 / d))
        .map(|w| config.rope_stretch.map_or(w, |s| stretched(w, &s)))
        .collect()
}

/// Long waves are slowed by `factor`, short ones kept, those between are blended.
fn stretched(frequency: f64, s: &RopeStretch) -> f64 {
    let wavelength = std::f64::consts::TAU / frequency;
    if wavelength < s.original_max_positions / s.high_freq_factor {
        return frequency;
    }
    if wavelength > s.original_max_positions / s.low_freq_factor {
        return frequency / s.factor;
    }
    let kept = (s.original_max_positions / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
    (1.0 - kept) * frequency / s.factor + kept * frequency
}

/// A base below 1 turns faster the higher the pair of numbers, and 0 leads to infinite angles.
fn checked_theta(fields: &Fields, theta: f64) -> Result<f64> {
    if theta >= 1.0 {
        return Ok(theta);
    }
    Err(fields.problem("rope_theta", &format!("{theta} is no base of rotary positions"), "give 1 or more, such as 10000.0"))
}

/// θ and stretching from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before).
pub fn from_config(fields: &Fields) -> Result<(f64, Option<RopeStretch>)> {
    const DEFAULT_THETA: f64 = 10_000.0;
    if fields.number_or("partial_rotary_factor", 1.0)? != 1.0 {
        return Err(fields.problem("partial_rotary_factor", "partly rotated heads are not supported", "only 1.0 is"));
    }
    let outer_theta = fields.optional_number("rope_theta")?;
    let (key, object) = match fields.object("rope_parameters")? {
        Some(object) => ("rope_parameters", Some(object)),
        None => ("rope_scaling", fields.object("rope_scaling")?),
    };
    let Some(object) = object else {
        return Ok((checked_theta(fields, outer_theta.unwrap_or(DEFAULT_THETA))?, None));
    };
    let place = fields.at(key);
    let inner = Fields::new(&place, object);
    let theta = checked_theta(fields, inner.optional_number("rope_theta")?.or(outer_theta).unwrap_or(DEFAULT_THETA))?;
    if inner.number_or("partial_rotary_factor", 1.0)? != 1.0 {
        return Err(fields.problem(key, "partly rotated heads are not supported", "only partial_rotary_factor 1.0 is"));
    }
    let kind = match inner.optional_string("rope_type")? {
        Some(kind) => kind,
        None => inner.optional_string("type")?.unwrap_or_else(|| "default".into()),
    };
    match kind.as_str() {
        "default" => Ok((theta, None)),
        "llama3" => Ok((theta, Some(stretch(&inner)?))),
        other => Err(fields.problem(key, &format!("rope_type `{other}` is not supported"), "supported: default, llama3")),
    }
}

fn stretch(inner: &Fields) -> Result<RopeStretch> {
    let s = RopeStretch {
        factor: inner.number("factor")?,
        low_freq_factor: inner.number("low_freq_factor")?,
        high_freq_factor: inner.number("high_freq_factor")?,
        original_max_positions: inner.number("original_max_position_embeddings")?,
    };
    if s.factor < 1.0 || s.high_freq_factor <= s.low_freq_factor || s.low_freq_factor == 0.0 {
        return Err(inner.problem(
            "factor",
            "llama3 scaling needs factor ≥ 1 and 0 < low_freq_factor < high_freq_factor",
            "correct config.json",
        ));
    }
    Ok(s)
}

//! The forward pass of every supported family, from tokens to final hidden states.
//!
//! Shape letters: B batch, T time, N = B·T, D model, H heads, K key/value heads, E head size.

use burn::tensor::{Int, Tensor, activation};
use evenkeel_kernels::Layout::{InOut, OutIn};
use evenkeel_kernels::{attention, rms_norm, swiglu};

use super::cache::KvCache;
use super::config::{Arch, ModelConfig};
use super::input::Input;
use super::layers::{head_norm, layer_norm, project, project_onto};
use super::params::Params;
use super::rope::{RopeRows, RopeTable, rotate};

/// One forward pass: what every block reads.
struct Pass<'a> {
    config: &'a ModelConfig,
    params: &'a Params,
    input: &'a Input,
    /// Absent in GPT-2, whose positions are learned.
    rope: Option<RopeRows>,
}

/// Hidden states after the final norm. → [N, D].
pub fn hidden(
    config: &ModelConfig,
    params: &Params,
    rope: Option<&RopeTable>,
    input: &Input,
    mut cache: Option<&mut KvCache>,
) -> Tensor<2> {
    let rope = rope.map(|table| table.rows(input.positions.clone()));
    let pass = Pass { config, params, input, rope };
    let mut x_nd = pass.embed();
    for layer in 0..config.num_layers {
        x_nd = match config.arch {
            Arch::Gpt2 => pass.gpt2_block(layer, x_nd, cache.as_deref_mut()),
            _ => pass.rotary_block(layer, x_nd, cache.as_deref_mut()),
        };
    }
    if let Some(cache) = cache {
        cache.advance(input.time);
    }
    match config.arch {
        Arch::Gpt2 => pass.layer_norm("transformer.ln_f", x_nd),
        _ => pass.rms_norm("model.norm", x_nd),
    }
}

impl Pass<'_> {
    fn embed(&self) -> Tensor<2> {
        let n = self.input.batch * self.input.time;
        let flat = |x_bt: &Tensor<2, Int>| -> Tensor<1, Int> { x_bt.clone().reshape([n]) };
        let ids_n = flat(&self.input.ids);
        match self.config.arch {
            Arch::Gpt2 => {
                let tokens_nd = self.params.matrix("transformer.wte.weight").select(0, ids_n);
                tokens_nd + self.params.matrix("transformer.wpe.weight").select(0, flat(&self.input.positions))
            }
            _ => self.params.matrix("model.embed_tokens.weight").select(0, ids_n),
        }
    }

    /// Llama, Qwen2, Qwen3. x [N, D] → [N, D].
    fn rotary_block(&self, layer: usize, x_nd: Tensor<2>, cache: Option<&mut KvCache>) -> Tensor<2> {
        let at = format!("model.layers.{layer}");
        let normed_nd = self.rms_norm(&format!("{at}.input_layernorm"), x_nd.clone());
        let mixed = self.rotary_attention(layer, &format!("{at}.self_attn"), normed_nd, cache);
        let x_nd = project_onto(self.params, &format!("{at}.self_attn.o_proj"), OutIn, mixed, x_nd);
        let normed_nd = self.rms_norm(&format!("{at}.post_attention_layernorm"), x_nd.clone());
        let gate = project(self.params, &format!("{at}.mlp.gate_proj"), OutIn, normed_nd.clone());
        let up = project(self.params, &format!("{at}.mlp.up_proj"), OutIn, normed_nd);
        project_onto(self.params, &format!("{at}.mlp.down_proj"), OutIn, swiglu(gate, up), x_nd)
    }

    /// Attention before its output projection. x [N, D] → [N, H·E].
    fn rotary_attention(&self, layer: usize, at: &str, x_nd: Tensor<2>, cache: Option<&mut KvCache>) -> Tensor<2> {
        let (b, t, e) = (self.input.batch, self.input.time, self.config.head_dim);
        let heads = |name: &str| {
            let y = project(self.params, &format!("{at}.{name}_proj"), OutIn, x_nd.clone());
            let [_, width] = y.dims();
            y.reshape([b, t, width / e, e])
        };
        let (mut q, mut k, v) = (heads("q"), heads("k"), heads("v"));
        if self.config.arch == Arch::Qwen3 {
            let norm = |name: &str, x| head_norm(x, self.params.vector(&format!("{at}.{name}.weight")), self.config.norm_eps);
            (q, k) = (norm("q_norm", q), norm("k_norm", k));
        }
        let rope = self.rope.as_ref().expect("rotary families have a table");
        self.attend(layer, rotate(q, rope), rotate(k, rope), v, cache)
    }

    /// x [N, D] → [N, D].
    fn gpt2_block(&self, layer: usize, x_nd: Tensor<2>, cache: Option<&mut KvCache>) -> Tensor<2> {
        let at = format!("transformer.h.{layer}");
        let (d, h, e) = (self.config.hidden_size, self.config.num_heads, self.config.head_dim);
        let normed_nd = self.layer_norm(&format!("{at}.ln_1"), x_nd.clone());
        let qkv = project(self.params, &format!("{at}.attn.c_attn"), InOut, normed_nd);
        let part = |i: usize| qkv.clone().narrow(1, i * d, d).reshape([self.input.batch, self.input.time, h, e]);
        let mixed = self.attend(layer, part(0), part(1), part(2), cache);
        let x_nd = project_onto(self.params, &format!("{at}.attn.c_proj"), InOut, mixed, x_nd);
        let normed_nd = self.layer_norm(&format!("{at}.ln_2"), x_nd.clone());
        let inner = activation::gelu_approximate(project(self.params, &format!("{at}.mlp.c_fc"), InOut, normed_nd));
        project_onto(self.params, &format!("{at}.mlp.c_proj"), InOut, inner, x_nd)
    }

    /// q [B, T, H, E], k, v [B, T, K, E] → [N, H·E]; with a cache the keys are all that it holds.
    fn attend(&self, layer: usize, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, cache: Option<&mut KvCache>) -> Tensor<2> {
        let [b, t, h, e] = q.dims();
        let (keys, values) = match cache {
            Some(cache) => cache.append(layer, k, v),
            None => (k, v),
        };
        let (first, last) = (self.input.first.clone(), self.input.last.clone());
        let scale = (1.0 / (e as f64).sqrt()) as f32;
        attention(q, keys, values, first, last, scale).reshape([b * t, h * e])
    }

    fn rms_norm(&self, name: &str, x_nd: Tensor<2>) -> Tensor<2> {
        rms_norm(x_nd, self.params.vector(&format!("{name}.weight")), self.config.norm_eps as f32)
    }

    fn layer_norm(&self, name: &str, x_nd: Tensor<2>) -> Tensor<2> {
        let weight = self.params.vector(&format!("{name}.weight"));
        let bias = self.params.vector(&format!("{name}.bias"));
        layer_norm(x_nd, weight, bias, self.config.norm_eps)
    }
}

//! Names, shapes and initial values of every parameter, in the order of a Hugging Face state dict.
//!
//! Loading, initialising and saving all follow this one list, so that they cannot disagree.

use super::config::{Arch, Head, ModelConfig};

/// How a new parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    Zeros,
    Ones,
    /// N(0, std).
    Normal(f64),
}

/// One parameter that the model must have.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    pub name: String,
    pub shape: Vec<usize>,
    pub start: Start,
    /// Weight decay applies (not to biases and normalisation weights, as Hugging Face's Trainer).
    pub decay: bool,
}

/// Every parameter of `config` with `head`.
pub fn layout(config: &ModelConfig, head: Head) -> Vec<Slot> {
    let mut list = List { config, slots: Vec::new() };
    match config.arch {
        Arch::Gpt2 => list.gpt2(),
        _ => list.rotary(),
    }
    let (v, d) = (config.vocab_size, config.hidden_size);
    match head {
        Head::Lm if !config.tie_embeddings => list.matrix("lm_head", v, d, config.initializer_range),
        Head::Lm => {}
        // Stiennon et al. 2020: std 1/√(d+1) keeps first scores near unit size.
        Head::Score => list.matrix("score", 1, d, 1.0 / ((d + 1) as f64).sqrt()),
    }
    list.slots
}

impl ModelConfig {
    /// Weights of a model of this configuration, known before any is allocated.
    pub fn num_parameters(&self, head: Head) -> usize {
        layout(self, head).iter().map(|slot| slot.shape.iter().product::<usize>()).sum()
    }
}

struct List<'a> {
    config: &'a ModelConfig,
    slots: Vec<Slot>,
}

impl List<'_> {
    fn matrix(&mut self, name: &str, rows: usize, columns: usize, std: f64) {
        self.slots.push(Slot { name: format!("{name}.weight"), shape: vec![rows, columns], start: Start::Normal(std), decay: true });
    }

    fn vector(&mut self, name: String, size: usize, start: Start) {
        self.slots.push(Slot { name, shape: vec![size], start, decay: false });
    }

    fn bias(&mut self, name: &str, size: usize, present: bool) {
        if present {
            self.vector(format!("{name}.bias"), size, Start::Zeros);
        }
    }

    /// `rows` × `columns` as stored, with a bias of `outputs` where present.
    fn linear(&mut self, name: &str, [rows, columns]: [usize; 2], bias: Option<usize>, std: f64) {
        self.matrix(name, rows, columns, std);
        self.bias(name, bias.unwrap_or(0), bias.is_some());
    }

    fn rotary(&mut self) {
        let c = self.config;
        let (d, std) = (c.hidden_size, c.initializer_range);
        self.matrix("model.embed_tokens", c.vocab_size, d, std);
        for layer in 0..c.num_layers {
            let at = format!("model.layers.{layer}");
            self.rotary_attention(&at);
            let (up, down) = (c.mlp_bias.then_some(c.intermediate_size), c.mlp_bias.then_some(d));
            self.linear(&format!("{at}.mlp.gate_proj"), [c.intermediate_size, d], up, std);
            self.linear(&format!("{at}.mlp.up_proj"), [c.intermediate_size, d], up, std);
            self.linear(&format!("{at}.mlp.down_proj"), [d, c.intermediate_size], down, std);
            self.vector(format!("{at}.input_layernorm.weight"), d, Start::Ones);
            self.vector(format!("{at}.post_attention_layernorm.weight"), d, Start::Ones);
        }
        self.vector("model.norm.weight".into(), d, Start::Ones);
    }

    fn rotary_attention(&mut self, at: &str) {
        let c = self.config;
        let (d, std) = (c.hidden_size, c.initializer_range);
        let (q, kv) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
        for (name, size) in [("q_proj", q), ("k_proj", kv), ("v_proj", kv)] {
            let bias = c.qkv_bias.then_some(size);
            self.linear(&format!("{at}.self_attn.{name}"), [size, d], bias, std);
        }
        self.linear(&format!("{at}.self_attn.o_proj"), [d, q], c.out_bias.then_some(d), std);
        if c.arch == Arch::Qwen3 {
            self.vector(format!("{at}.self_attn.q_norm.weight"), c.head_dim, Start::Ones);
            self.vector(format!("{at}.self_attn.k_norm.weight"), c.head_dim, Start::Ones);
        }
    }

    fn gpt2(&mut self) {
        let c = self.config;
        let (d, inner, std) = (c.hidden_size, c.intermediate_size, c.initializer_range);
        // Radford et al. 2019 §2.3: weights into the residual stream start smaller by √(2 · layers).
        let residual = std / ((2 * c.num_layers) as f64).sqrt();
        self.matrix("transformer.wte", c.vocab_size, d, std);
        self.matrix("transformer.wpe", c.max_positions, d, std);
        for layer in 0..c.num_layers {
            let at = format!("transformer.h.{layer}");
            self.layer_norm(&format!("{at}.ln_1"));
            // Conv1D keeps its weight as [in, out].
            self.linear(&format!("{at}.attn.c_attn"), [d, 3 * d], Some(3 * d), std);
            self.linear(&format!("{at}.attn.c_proj"), [d, d], Some(d), residual);
            self.layer_norm(&format!("{at}.ln_2"));
            self.linear(&format!("{at}.mlp.c_fc"), [d, inner], Some(inner), std);
            self.linear(&format!("{at}.mlp.c_proj"), [inner, d], Some(d), residual);
        }
        self.layer_norm("transformer.ln_f");
    }

    fn layer_norm(&mut self, name: &str) {
        let d = self.config.hidden_size;
        self.vector(format!("{name}.weight"), d, Start::Ones);
        self.vector(format!("{name}.bias"), d, Start::Zeros);
    }
}

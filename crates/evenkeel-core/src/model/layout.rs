//! Names, shapes, initial values and places of every parameter, in the order of a Hugging Face state dict.
//!
//! Loading, initialising and saving all follow this one list, so that they cannot disagree. The weights of a block share one
//! segment (one tensor on the device), every other parameter has its own.

use evenkeel_kernels::{Affine, Block, Family, Places};

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
    /// Index of its segment, and the first of its numbers there.
    pub segment: usize,
    pub at: usize,
}

/// Size of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSize {
    pub len: usize,
    /// How many of its numbers, from the first on, take weight decay (not biases and normalisation weights, as Hugging
    /// Face's Trainer).
    pub decayed: usize,
}

/// Every parameter of a model and the segments that hold them.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    pub slots: Vec<Slot>,
    pub segments: Vec<SegmentSize>,
}

/// Every parameter of `config` with `head`.
pub fn layout(config: &ModelConfig, head: Head) -> Layout {
    let mut list = List { config, layout: Layout { slots: Vec::new(), segments: Vec::new() } };
    match config.arch {
        Arch::Gpt2 => list.gpt2(),
        _ => list.rotary(),
    }
    let (v, d) = (config.vocab_size, config.hidden_size);
    match head {
        Head::Lm if !config.tie_embeddings => list.own_matrix("lm_head", v, d, config.initializer_range),
        Head::Lm => {}
        // Stiennon et al. 2020: std 1/√(d+1) keeps first scores near unit size.
        Head::Score => list.own_matrix("score", 1, d, 1.0 / ((d + 1) as f64).sqrt()),
    }
    list.layout
}

impl ModelConfig {
    /// Weights of a model of this configuration, known before any is allocated.
    pub fn num_parameters(&self, head: Head) -> usize {
        layout(self, head).slots.iter().map(|slot| slot.shape.iter().product::<usize>()).sum()
    }
}

impl ModelConfig {
    /// What every block of this configuration is.
    pub(super) fn block(&self) -> Block {
        let family = match self.arch {
            Arch::Gpt2 => Family::Gpt2,
            arch => Family::Llama { head_norms: arch == Arch::Qwen3 },
        };
        let has_biases = self.arch == Arch::Gpt2;
        Block {
            family,
            hidden_size: self.hidden_size,
            num_heads: self.num_heads,
            num_kv_heads: self.num_kv_heads,
            head_dim: self.head_dim,
            intermediate_size: self.intermediate_size,
            qkv_bias: self.qkv_bias || has_biases,
            out_bias: self.out_bias || has_biases,
            mlp_bias: self.mlp_bias || has_biases,
            eps: self.norm_eps as f32,
        }
    }

    /// Index of the segment of block `layer`.
    pub(super) fn block_segment(&self, layer: usize) -> usize {
        layer + if self.arch == Arch::Gpt2 { 2 } else { 1 }
    }
}

struct List<'a> {
    config: &'a ModelConfig,
    layout: Layout,
}

impl List<'_> {
    fn slot(&mut self, name: String, shape: Vec<usize>, start: Start, at: usize) {
        let segment = self.layout.segments.len() - 1;
        self.layout.slots.push(Slot { name, shape, start, segment, at });
    }

    /// A matrix with a segment of its own.
    fn own_matrix(&mut self, name: &str, rows: usize, columns: usize, std: f64) {
        let len = rows * columns;
        self.layout.segments.push(SegmentSize { len, decayed: len });
        self.slot(format!("{name}.weight"), vec![rows, columns], Start::Normal(std), 0);
    }

    /// A vector with a segment of its own.
    fn own_vector(&mut self, name: &str, size: usize, start: Start) {
        self.layout.segments.push(SegmentSize { len: size, decayed: 0 });
        self.slot(name.into(), vec![size], start, 0);
    }

    /// The segment of one block, to which the slots that follow belong.
    fn block(&mut self) -> Places {
        let places = self.config.block().places();
        self.layout.segments.push(SegmentSize { len: places.len, decayed: places.decayed });
        places
    }

    /// `rows` × `columns` as stored, and `outputs` biases where there is a place for them.
    fn linear(&mut self, name: &str, [rows, columns]: [usize; 2], outputs: usize, std: f64, at: Affine) {
        self.slot(format!("{name}.weight"), vec![rows, columns], Start::Normal(std), at.weight);
        if let Some(at) = at.bias {
            self.slot(format!("{name}.bias"), vec![outputs], Start::Zeros, at);
        }
    }

    fn norm(&mut self, name: &str, at: Affine) {
        let d = self.config.hidden_size;
        self.slot(format!("{name}.weight"), vec![d], Start::Ones, at.weight);
        if let Some(at) = at.bias {
            self.slot(format!("{name}.bias"), vec![d], Start::Zeros, at);
        }
    }

    fn rotary(&mut self) {
        let c = self.config;
        let (d, f, std) = (c.hidden_size, c.intermediate_size, c.initializer_range);
        self.own_matrix("model.embed_tokens", c.vocab_size, d, std);
        for layer in 0..c.num_layers {
            let at = format!("model.layers.{layer}");
            let places = self.block();
            self.rotary_attention(&at, &places);
            self.linear(&format!("{at}.mlp.gate_proj"), [f, d], f, std, places.up);
            self.linear(&format!("{at}.mlp.up_proj"), [f, d], f, std, after(places.up, f, d));
            self.linear(&format!("{at}.mlp.down_proj"), [d, f], d, std, places.down);
            self.norm(&format!("{at}.input_layernorm"), places.attention_norm);
            self.norm(&format!("{at}.post_attention_layernorm"), places.mlp_norm);
        }
        self.own_vector("model.norm.weight", d, Start::Ones);
    }

    fn rotary_attention(&mut self, at: &str, places: &Places) {
        let c = self.config;
        let (d, std) = (c.hidden_size, c.initializer_range);
        let (q, kv) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
        let mut before = 0;
        for (name, size) in [("q_proj", q), ("k_proj", kv), ("v_proj", kv)] {
            self.linear(&format!("{at}.self_attn.{name}"), [size, d], size, std, after(places.qkv, before, d));
            before += size;
        }
        self.linear(&format!("{at}.self_attn.o_proj"), [d, q], d, std, places.out);
        for (name, place) in ["q_norm", "k_norm"].into_iter().zip(places.head_norms.into_iter().flatten()) {
            self.slot(format!("{at}.self_attn.{name}.weight"), vec![c.head_dim], Start::Ones, place);
        }
    }

    fn gpt2(&mut self) {
        let c = self.config;
        let (d, inner, std) = (c.hidden_size, c.intermediate_size, c.initializer_range);
        // Radford et al. 2019 §2.3: weights into the residual stream start smaller by √(2 · layers).
        let residual = std / ((2 * c.num_layers) as f64).sqrt();
        self.own_matrix("transformer.wte", c.vocab_size, d, std);
        self.own_matrix("transformer.wpe", c.max_positions, d, std);
        for layer in 0..c.num_layers {
            let at = format!("transformer.h.{layer}");
            let places = self.block();
            self.norm(&format!("{at}.ln_1"), places.attention_norm);
            // Conv1D keeps its weight as [in, out].
            self.linear(&format!("{at}.attn.c_attn"), [d, 3 * d], 3 * d, std, places.qkv);
            self.linear(&format!("{at}.attn.c_proj"), [d, d], d, residual, places.out);
            self.norm(&format!("{at}.ln_2"), places.mlp_norm);
            self.linear(&format!("{at}.mlp.c_fc"), [d, inner], inner, std, places.up);
            self.linear(&format!("{at}.mlp.c_proj"), [inner, d], d, residual, places.down);
        }
        self.own_vector("transformer.ln_f.weight", d, Start::Ones);
        self.own_vector("transformer.ln_f.bias", d, Start::Zeros);
    }
}

/// The place of a part of a joint projection: after `rows` outputs of `columns` weights and one bias each.
fn after(at: Affine, rows: usize, columns: usize) -> Affine {
    Affine { weight: at.weight + rows * columns, bias: at.bias.map(|bias| bias + rows) }
}

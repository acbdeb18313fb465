//! A small English assistant world whose truth is known: the pipeline trains in it from scratch, and every answer
//! can be judged exactly.
//!
//! Prompts ask for help, for harm, or for what nobody can know (helpful, harmless, honest). The truth lives in fixed
//! tables (`tables`); [`World`] turns it into prompts, [`demos`] into imperfect demonstrations, [`labeller`] into
//! preferences with a human weakness, and [`mod@gold`] judges an answer as no trainer ever can.

pub mod demo;
pub mod demos;
pub mod gold;
pub mod labeller;
pub mod lesson;
mod questions;
mod tables;
pub mod tokenizer;

pub use demos::Demonstration;
pub use gold::{Gold, gold};
pub use questions::{Kind, Question, World};

use serde_json::{Value, json};

/// Longest prompt in tokens, template included; a test holds the world to it.
pub const MAX_PROMPT_TOKENS: usize = 14;
/// Longest answer that a policy may write, in tokens. Demonstrations fit, with room to ramble.
pub const MAX_ANSWER_TOKENS: usize = 18;

/// The `config.json` of the world's model: a llama of 0.43 million parameters, small enough to train in minutes on
/// two CPU cores.
pub fn model_config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "tie_word_embeddings": true,
        "vocab_size": tokenizer::VOCAB_SIZE,
        "initializer_range": 0.05,
        "bos_token_id": tokenizer::BOS,
        "eos_token_id": tokenizer::EOS,
        "pad_token_id": tokenizer::PAD,
        "torch_dtype": "float32"
    })
}

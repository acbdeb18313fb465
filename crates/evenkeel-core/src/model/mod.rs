//! Decoders configured by a Hugging Face `config.json`.

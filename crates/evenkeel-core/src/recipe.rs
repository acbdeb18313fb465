//! Recipes: every setting of a run.

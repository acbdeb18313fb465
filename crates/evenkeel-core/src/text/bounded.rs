//! Chat templates whose values are bounded. minijinja's fuel pays for instructions and text, but a list that holds another one twice, or a sum of
//! two lists, costs nothing and may stand for more numbers than memory holds: here whatever can make such a value is followed by its weighing.
//!
//! The source cannot say where an expression ends, so that the instructions are changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::machinery::{CompiledTemplate, Instruction as I, Instructions, TemplateConfig, eval, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

const NAME: &str = "chat";
/// The filters that weigh a value, and look what is put into a namespace.
const WEIGH: &str = "evenkeel_weigh";
const KEEP: &str = "evenkeel_keep";
/// No place in minijinja's cache of filters.
const UNCACHED: u8 = !0;
/// Bytes of text that weigh as much as an item.
const TEXT: u64 = 64;
/// Lists within lists: each is a call when they are written.
const DEEPEST: usize = 64;
/// The widest field that `str.format` may write.
const WIDEST: u64 = 1 << 12;

/// A template, read and changed.
pub struct Bounded<'t> {
    environment: Environment<'t>,
    instructions: Instructions<'t>,
    blocks: BTreeMap<&'t str, Instructions<'t>>,
    /// What values may weigh together each time, and what is left of it.
    fuel: u64,
    left: Arc<AtomicU64>,
}

impl<'t> Bounded<'t> {
    /// `environment` is without templates; each time that it is rendered `fuel` bounds instructions and text, and once more what its values weigh
    /// together.
    ///
    /// # Errors
    /// `source` is no template, or has a constant that takes too much.
    pub fn new(mut environment: Environment<'t>, source: &'t str, syntax: SyntaxConfig, fuel: u64) -> Result<Self, Error> {
        environment.set_fuel(Some(fuel));
        // No filter of Jinja's, and another way to add lists.
        environment.remove_filter("chain");
        let left = Arc::new(AtomicU64::new(fuel));
        let [of_values, of_methods] = [left.clone(), left.clone()];
        environment.add_filter(WEIGH, move |value: Value| weigh(value, &of_values));
        environment.set_unknown_method_callback(move |state, value, name, arguments| {
            weigh(value.clone(), &of_methods)?;
            method(state, value, name, arguments)
        });
        environment.add_filter(KEEP, keep);
        let config = TemplateConfig { syntax_config: syntax, default_auto_escape: Arc::new(|_| AutoEscape::None) };
        let compiled = CompiledTemplate::new(NAME, source, &config)?;
        // What is put together while the template is read is a constant.
        for instructions in compiled.blocks.values().chain([&compiled.instructions]) {
            for constant in all(instructions).filter_map(|one| if let I::LoadConst(value) = one { Some(value) } else { None }) {
                weigh(constant.clone(), &AtomicU64::new(fuel))?;
            }
        }
        let blocks = compiled.blocks.iter().map(|(name, block)| (*name, weighed(block))).collect();
        Ok(Self { environment, instructions: weighed(&compiled.instructions), blocks, fuel, left })
    }

    /// # Errors
    /// What goes wrong in the template; [`ErrorKind::OutOfFuel`] where it takes too much.
    pub fn render(&self, arguments: Value) -> Result<String, Error> {
        self.left.store(self.fuel, Ordering::Relaxed);
        let mut text = String::new();
        let mut out = make_string_output(&mut text);
        eval(&self.environment, &self.instructions, arguments, &self.blocks, &mut out, AutoEscape::None)?;
        drop(out);
        Ok(text)
    }
}

fn too_much() -> Error {
    Error::new(ErrorKind::OutOfFuel, "values are too large")
}

fn all<'a, 't>(instructions: &'a Instructions<'t>) -> impl Iterator<Item = &'a I<'t>> {
    (0..).map_while(|i| instructions.get(i))
}

/// The same instructions, with the filters around each that needs one.
fn weighed<'t>(instructions: &Instructions<'t>) -> Instructions<'t> {
    let all: Vec<_> = all(instructions).map(|one| (filters(one), one)).collect();
    // Where each instruction is after the change with what precedes it, and where the end is.
    let mut places = vec![0];
    for ([before, after], _) in &all {
        places.push(places[places.len() - 1] + (before.len() + 1 + after.len()) as u32);
    }
    let place = |target: &u32| places[*target as usize];
    let mut changed = Instructions::new(instructions.name(), instructions.source());
    for (i, ([before, after], instruction)) in (0..).zip(&all) {
        let moved = match instruction {
            I::Iterate(target) => I::Iterate(place(target)),
            I::Jump(target) => I::Jump(place(target)),
            I::JumpIfFalse(target) => I::JumpIfFalse(place(target)),
            I::JumpIfFalseOrPop(target) => I::JumpIfFalseOrPop(place(target)),
            I::JumpIfTrueOrPop(target) => I::JumpIfTrueOrPop(place(target)),
            I::BuildMacro(name, target, flags) => I::BuildMacro(name, place(target), *flags),
            other => (*other).clone(),
        };
        let line = instructions.get_line(i).unwrap_or_default() as u16;
        for one in before.iter().chain([&moved]).chain(*after) {
            changed.add_with_line(one.clone(), line);
        }
    }
    changed
}

/// What is to be done before and after an instruction.
fn filters(instruction: &I) -> [&'static [I<'static>]; 2] {
    const WEIGHED: I = I::ApplyFilter(WEIGH, Some(1), UNCACHED);
    const WEIGHING: &[I] = &[WEIGHED];
    const WEIGHING_BOTH: &[I] = &[WEIGHED, I::Swap, WEIGHED, I::Swap];
    // The value lies below what it is put into.
    const KEEPING: &[I] = &[I::Swap, I::ApplyFilter(KEEP, Some(1), UNCACHED), I::Swap];
    match instruction {
        // Of what makes a value of others, the value.
        I::Add
        | I::Mul
        | I::Slice
        | I::BuildList(_)
        | I::BuildTuple(_)
        | I::BuildMap(_)
        | I::ApplyFilter(..)
        | I::CallFunction(..)
        | I::CallMethod(..)
        | I::CallObject(_) => [&[], WEIGHING],
        // Of what goes through a value, it; through two as long as they are alike, one.
        I::Eq
        | I::Ne
        | I::Lt
        | I::Lte
        | I::Gt
        | I::Gte
        | I::In
        | I::CompareAndPreserve(_)
        | I::GetItem
        | I::PerformTest(..)
        | I::PushLoop(_) => [WEIGHING, &[]],
        // Of what is written as text, both.
        I::StringConcat => [WEIGHING_BOTH, &[]],
        I::SetAttr(_) => [KEEPING, &[]],
        _ => [&[], &[]],
    }
}

/// `value`, of which `left` has paid what it and all that it holds weigh, shared parts as often as they are held.
fn weigh(value: Value, left: &AtomicU64) -> Result<Value, Error> {
    let take = |weight: u64| {
        let paid = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(weight));
        paid.map_err(|_| too_much()).map(drop)
    };
    let mut held = vec![(value.clone(), 0)];
    let mut copy = Vec::new();
    while let Some((one, depth)) = held.pop() {
        if depth > DEEPEST {
            return Err(too_much());
        }
        match one.kind() {
            ValueKind::String => take(one.as_str().map_or(0, str::len) as u64 / TEXT)?,
            // What has no length can be gone through only once.
            ValueKind::Seq | ValueKind::Map | ValueKind::Iterable if one.len().is_some() => {
                for item in one.try_iter()? {
                    take(1)?;
                    if one.kind() == ValueKind::Map {
                        held.extend(one.get_item(&item).ok().map(|held| (held, depth + 1)));
                    }
                    if depth == 0 && one.kind() == ValueKind::Iterable {
                        copy.push(item.clone());
                    }
                    held.push((item, depth + 1));
                }
            }
            _ => {}
        }
    }
    // A list that is made as it is read reads others, which read others, each on the stack: Python's are lists.
    Ok(if value.kind() == ValueKind::Iterable && value.len().is_some() { Value::from(copy) } else { value })
}

/// `value`, which is to be put into a namespace. One that holds a namespace might come to hold itself.
fn keep(value: Value) -> Result<Value, Error> {
    let is_namespace = |value: &Value| value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"));
    let mut held = vec![value.clone()];
    while let Some(one) = held.pop() {
        if is_namespace(&one) {
            return Err(Error::new(ErrorKind::InvalidOperation, "a namespace is put into a namespace"));
        }
        if matches!(one.kind(), ValueKind::Seq | ValueKind::Map) {
            let items: Vec<Value> = one.try_iter()?.collect();
            let values = items.iter().filter(|_| one.kind() == ValueKind::Map).filter_map(|key| one.get_item(key).ok());
            held.extend(values.chain(items.iter().cloned()));
        }
    }
    Ok(value)
}

/// Python's methods, of which `format` pads as far as it is told.
fn method(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let widths = || value.as_str().unwrap_or_default().split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    if name == "format" && widths().any(|digits| digits.parse().map_or(true, |width: u64| width > WIDEST)) {
        return Err(too_much());
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    /// One of everything that jumps, and of everything that makes a value, from the fuzzer's corpus.
    #[test]
    fn a_changed_template_says_what_it_said() {
        let seed = include_bytes!("../../../../fuzz/corpus/text/values");
        let source = std::str::from_utf8(seed).unwrap().split('\0').next_back().unwrap();
        let source = source.replace("{% generation %}", "{% filter lower %}").replace("{% endgeneration %}", "{% endfilter %}");
        let arguments = |last: &str| {
            let message = |role: &str| context! { role => role, content => " Who? " };
            context! { messages => [message("user"), message("system"), message(last)], add_generation_prompt => last == "user" }
        };
        let mut plain = Environment::new();
        plain.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        plain.add_template(NAME, &source).unwrap();
        let bounded = Bounded::new(Environment::new(), &source, SyntaxConfig::default(), 1 << 20).unwrap();
        for last in ["user", "assistant"] {
            let said = plain.get_template(NAME).unwrap().render(arguments(last)).unwrap();
            assert_eq!(bounded.render(arguments(last)).unwrap(), said);
            assert!(said.contains("123") && said.contains("    1 É"), "{said}");
        }
    }

    #[test]
    fn each_rendering_has_all_of_the_fuel() {
        let bounded = Bounded::new(Environment::new(), "{{ ([1] * 900) | length }}", SyntaxConfig::default(), 1000).unwrap();
        for _ in 0..3 {
            assert_eq!(bounded.render(context! {}).unwrap(), "900");
        }
        let constant = Bounded::new(Environment::new(), "{{ ([1] * 1100) | length }}", SyntaxConfig::default(), 1000);
        assert_eq!(constant.err().unwrap().kind(), ErrorKind::OutOfFuel);
        let value = Bounded::new(Environment::new(), "{{ ([1] * n) | length }}", SyntaxConfig::default(), 1000).unwrap();
        assert_eq!(value.render(context! { n => 1100 }).unwrap_err().kind(), ErrorKind::OutOfFuel);
    }
}

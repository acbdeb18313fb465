//! The worker's loop: commands in, steps done, events out. Between two steps the event loop goes round, so that commands are heard.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
};

use evenkeel_core::bench::speed;
use evenkeel_core::estimate::Room;
use evenkeel_core::event::{Check, Command, Event};
use evenkeel_core::recipe::{Recipe, Stage};
use evenkeel_core::train::run::Commands;
use evenkeel_core::world::lesson::{Guest, Plan, Player};
use evenkeel_kernels::{DeviceChoice, Selected, lost, select, selfcheck::selfcheck};
use js_sys::{Function, Promise};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::opfs::OpfsStore;
use crate::own::{Own, Place};
use crate::{browser, kept, wire};

/// Seconds between two looks at whether the device is still there.
const LOST_CHECK: f64 = 0.25;
/// Seconds between two checkpoints of a run on the visitor's own model, or so many times as long as one takes.
const AUTOSAVE: f64 = 10.0;
const SAVING_SHARE: f64 = 10.0;

thread_local! {
    /// Commands that wait, and who waits for them.
    static INBOX: RefCell<VecDeque<Command>> = RefCell::default();
    static WAITING: RefCell<Option<Function>> = RefCell::default();
}

/// Listens, then says so, and works as long as the worker lives.
pub fn start() {
    console_error_panic_hook::set_once();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(|message: MessageEvent| match wire::from_js::<Command>(message.data()) {
        Ok(command) => {
            INBOX.with_borrow_mut(|inbox| inbox.push_back(command));
            if let Some(wake) = WAITING.take() {
                wake.call0(&JsValue::NULL).expect("a promise can be resolved");
            }
        }
        Err(message) => post(&Event::Warning { message }),
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget(); // lives as long as the worker
    browser::every(LOST_CHECK, || {
        if let Some(reason) = lost() {
            post(&Event::Lost { message: format!("The GPU was lost ({reason}).") });
            scope().close();
        }
    });
    spawn_local(run());
}

async fn run() {
    let store = OpfsStore::open().await;
    let reason = store.reason();
    let mut player = Player::new(store, Box::new(browser::seconds));
    let unfinished = or_warn(player.unfinished().await);
    let own = or_warn(kept::unfinished(player.store()).await);
    post(&Event::Ready { version: env!("CARGO_PKG_VERSION").into(), plans: Plan::presets(), recipes: recipes(), unfinished, own });
    if let Some(reason) = reason {
        post(&Event::Warning { message: reason.into() });
    }
    let mut bench = Bench::default();
    loop {
        while let Some(command) = INBOX.with_borrow_mut(VecDeque::pop_front) {
            let done = obey(&mut player, &mut bench, command).await;
            if let Err(message) = done {
                post(&Event::Warning { message });
            }
        }
        match player.work(&mut |event| post(&event)).await {
            Ok(Some(seconds)) => browser::rest(seconds).await,
            Ok(None) => message().await,
            Err(_told) => {}
        }
    }
}

/// What was kept, if it can be read.
fn or_warn<T>(kept: evenkeel_core::Result<Option<T>>) -> Option<T> {
    kept.unwrap_or_else(|error| {
        post(&Event::Warning { message: error.to_string() });
        None
    })
}

/// The device once it is open, and the visitor's own run.
#[derive(Default)]
struct Bench {
    selected: Option<Selected>,
    /// Its operations per second, once somebody asked.
    speed: Option<f64>,
    own: Own,
}

impl Bench {
    /// The device, opened if need be; `None` where that failed and the page was told.
    async fn device(&mut self) -> Option<Selected> {
        if self.selected.is_none() {
            self.selected = open_device("auto").await;
        }
        self.selected.clone()
    }

    fn place(&self) -> Place {
        let (device, on_cpu) = self.selected.as_ref().map_or(("WebGPU", false), |selected| (&selected.name, selected.backend == "cpu"));
        let tensor = self.selected.as_ref().and_then(|selected| selected.largest_tensor);
        Place { device: device.into(), room: Room { memory: browser::memory(on_cpu), tensor }, speed: self.speed }
    }
}

/// Commands of a run on the visitor's own model; the event loop goes round before each. Now and then it asks for a checkpoint itself.
struct Inbox {
    /// When to ask, and whether that has been done.
    due: f64,
    asked: bool,
    /// When the run last had its way.
    left: Option<f64>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { due: browser::seconds() + AUTOSAVE, asked: false, left: None }
    }
}

impl Commands for Inbox {
    async fn next(&mut self, paused: bool) -> Option<Command> {
        browser::rest(0.0).await;
        if paused {
            message().await;
        }
        let now = browser::seconds();
        if let (true, Some(left)) = (self.asked, self.left.take()) {
            self.asked = false;
            self.due = now + AUTOSAVE.max(SAVING_SHARE * (now - left));
        }
        if let Some(command) = INBOX.with_borrow_mut(VecDeque::pop_front) {
            return Some(command);
        }
        if now >= self.due && !self.asked && !paused {
            self.asked = true;
            return Some(Command::Checkpoint);
        }
        self.left = Some(now);
        None
    }
}

async fn obey(player: &mut Player<OpfsStore>, bench: &mut Bench, command: Command) -> Result<(), String> {
    let mut say = |event: Event| post(&event);
    match command {
        Command::Open { plan, device, resume } => {
            let Some(selected) = open_device(&device).await else { return Ok(()) };
            bench.selected = Some(selected.clone());
            player.open(&plan, &selected.device, &selected.name, resume, &mut say).await.map_err(|error| error.to_string())
        }
        Command::Estimate { recipe, model, data } => {
            let Some(selected) = bench.device().await else { return Ok(()) };
            if bench.speed.is_none() {
                bench.speed = speed(&selected.device, || 1e3 * browser::seconds()).await.ok();
            }
            if bench.own.needs_judge(&recipe) {
                bench.own.recall_judge(player.store(), &selected).await.map_err(|error| error.to_string())?;
            }
            post(&bench.own.estimate(recipe, model, data, &bench.place()));
            Ok(())
        }
        Command::Train { resume } => {
            let Some(selected) = bench.device().await else { return Ok(()) };
            let place = bench.place();
            let begun = browser::seconds();
            let trained = bench.own.train(resume, (&selected, &place), player.store(), &mut Inbox::default(), &mut say).await;
            let (name, guest) = trained.map_err(|error| error.to_string())?;
            player.welcome(&name, Guest { seconds: browser::seconds() - begun, ..guest }, &mut say);
            Ok(())
        }
        Command::Adopt { model, data, run } => {
            let place = bench.place();
            let adopted = bench.own.adopt((model, data), run, &place, player.store()).await.map_err(|error| error.to_string())?;
            say(Event::Kept { own: adopted });
            Ok(())
        }
        Command::SaveRun { run } => {
            let checkpoint = bench.own.checkpoint(&run, player.store()).await.map_err(|error| error.to_string())?;
            player.save_run(&run, checkpoint, &mut say).await.map_err(|error| error.to_string())
        }
        Command::ForgetOwn => kept::forget(player.store()).await.map_err(|error| error.to_string()),
        command => player.obey(command, &mut say).await.map_err(|error| error.to_string()),
    }
}

/// Opens the device and checks its kernels; a device that fails is not used, and the page is told why.
async fn open_device(choice: &str) -> Option<Selected> {
    let failed = |message: String| {
        post(&Event::Failed { step: 0, message });
        None
    };
    let choice = match choice {
        "cpu" => DeviceChoice::Cpu,
        "gpu" | "auto" => DeviceChoice::Gpu,
        other => return failed(format!("there is no device `{other}`: choose gpu or cpu")),
    };
    let selected = match select(choice).await {
        Ok(selected) => selected,
        Err(error) => return failed(error.to_string()),
    };
    let begun = browser::seconds();
    let tell = &mut |done, total| post(&Event::Compiling { done, total });
    let verdicts = match selfcheck(&selected.device, tell).await {
        Ok(verdicts) => verdicts,
        Err(message) => return failed(message),
    };
    let broken: Vec<&str> = verdicts.iter().filter(|verdict| !verdict.passed()).map(|verdict| verdict.of).collect();
    let problem = (!broken.is_empty()).then(|| {
        let (name, kernels) = (&selected.name, broken.join(", "));
        format!("{name} computes wrongly ({kernels}) and is not used. Update the browser and the GPU's driver, or train on the CPU.")
    });
    post(&Event::Device {
        name: selected.name.clone(),
        backend: selected.backend.clone(),
        software: selected.software,
        features: selected.features.clone(),
        checks: verdicts.iter().map(|v| Check { kernel: v.of.into(), error: v.error.min(f64::MAX), passed: v.passed() }).collect(),
        milliseconds: 1e3 * (browser::seconds() - begun),
    });
    match problem {
        Some(message) => failed(message),
        None => Some(selected),
    }
}

/// Every trainer's defaults, as a form shows them.
fn recipes() -> BTreeMap<String, serde_json::Value> {
    let default = |stage: Stage| {
        let recipe = serde_json::to_value(Recipe::default_for(stage)).expect("a recipe is plain data");
        (stage.name().to_string(), recipe)
    };
    [Stage::Sft, Stage::Reward, Stage::Ppo, Stage::Dpo].map(default).into()
}

/// Waits for the next command.
async fn message() {
    if INBOX.with_borrow(|inbox| !inbox.is_empty()) {
        return;
    }
    let promise = Promise::new(&mut |resolve, _| {
        WAITING.set(Some(resolve));
    });
    JsFuture::from(promise).await.expect("it is only ever resolved");
}

fn post(event: &Event) {
    scope().post_message(&wire::to_js(event)).expect("a plain object can always be posted");
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().dyn_into().expect("worker.wasm is loaded by a dedicated worker")
}
